// A fake of an engine that can call tools, run as a process: `--port N --name MODEL`. Asked with tools it calls the first
// one with what the user said; told what a tool gave, it repeats that; else it says what it was asked.
import { createServer, type ServerResponse } from "node:http"
import { parseArgs } from "node:util"

const { values } = parseArgs({ options: { port: { type: "string" }, name: { type: "string" } } })

interface Message {
  readonly role: string
  readonly content: string | null
}

interface Asked {
  readonly messages: ReadonlyArray<Message>
  readonly tools?: ReadonlyArray<{ readonly function: { readonly name: string } }>
  readonly tool_choice?: unknown
}

const send = (response: ServerResponse, choice: object | undefined, extra: object = {}) =>
  response.write(
    `data: ${JSON.stringify({
      id: "chatcmpl-fake",
      object: "chat.completion.chunk",
      created: 1,
      model: values.name,
      choices: choice === undefined ? [] : [{ index: 0, finish_reason: null, ...choice }],
      ...extra
    })}\n\n`
  )

const answer = (response: ServerResponse, { messages, tools = [] }: Asked) => {
  const last = messages.at(-1)
  const said = String(last?.content ?? "")
  const [tool] = tools
  send(response, { delta: { role: "assistant", content: "" } })
  if (tool === undefined || last?.role === "tool") {
    const text = last?.role === "tool" ? `The tool said ${said}` : `You said ${said}`
    for (const piece of text.split(/(?<= )/)) send(response, { delta: { content: piece } })
    send(response, { delta: {}, finish_reason: "stop" })
  } else {
    const given = JSON.stringify({ text: said })
    const call = (piece: object) => send(response, { delta: { tool_calls: [{ index: 0, ...piece }] } })
    call({ id: "call_1", type: "function", function: { name: tool.function.name, arguments: "" } })
    call({ function: { arguments: given.slice(0, 5) } })
    call({ function: { arguments: given.slice(5) } })
    send(response, { delta: {}, finish_reason: "tool_calls" })
  }
  send(response, undefined, { usage: { prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 } })
  response.end("data: [DONE]\n\n")
}

createServer((request, response) => {
  let body = ""
  request.on("data", (chunk: Buffer) => {
    body += chunk.toString()
  })
  request.on("end", () => {
    if (request.url === "/health") return response.end("{}")
    if (request.url === "/v1/models") return response.end(JSON.stringify({ data: [{ id: values.name }] }))
    if (request.url === "/v1/chat/completions") {
      response.setHeader("content-type", "text/event-stream")
      return answer(response, JSON.parse(body))
    }
    return response.writeHead(404).end(JSON.stringify({ error: { message: "nothing here" } }))
  })
}).listen(Number(values.port), "127.0.0.1")
