// A fake of an engine that fails as it is told, run as a process: `--port N --name MODEL`. The text of the last message is
// JSON: {"status":500,"error":…} answers with that status and that body, 200 with it as the first event; "sick" fails and
// answers no health check any more; "once" names a folder: whoever makes it fails with 500, and everybody after that
// answers. Everything else is answered. With `--hold FILE` it loads until there is such a file.
import { existsSync, mkdirSync } from "node:fs"
import { createServer, type ServerResponse } from "node:http"
import { parseArgs } from "node:util"

const { values } = parseArgs({
  options: { port: { type: "string" }, name: { type: "string" }, hold: { type: "string" } }
})

interface Order {
  readonly status?: number
  readonly error?: unknown
  readonly sick?: string
  readonly once?: string
}

let healthy = true

const isFirst = (folder: string) => {
  try {
    mkdirSync(folder)
    return true
  } catch {
    return false
  }
}

const fail = (response: ServerResponse, status: number, error: unknown) => {
  if (status !== 200) return response.writeHead(status).end(JSON.stringify(error))
  response.setHeader("content-type", "text/event-stream")
  return response.end(`data: ${JSON.stringify(error)}\n\n`)
}

const answer = (response: ServerResponse) => {
  response.setHeader("content-type", "text/event-stream")
  const send = (choice: object) =>
    response.write(
      `data: ${JSON.stringify({
        id: "chatcmpl-fake",
        object: "chat.completion.chunk",
        created: 1,
        model: values.name,
        choices: [{ index: 0, finish_reason: null, ...choice }]
      })}\n\n`
    )
  send({ delta: { role: "assistant", content: "fine" } })
  send({ delta: {}, finish_reason: "stop" })
  response.end("data: [DONE]\n\n")
}

const orderIn = (body: string): Order => {
  try {
    return JSON.parse(JSON.parse(body).messages.at(-1).content)
  } catch {
    return {}
  }
}

createServer((request, response) => {
  let body = ""
  request.on("data", (chunk: Buffer) => {
    body += chunk.toString()
  })
  request.on("end", () => {
    const isLoaded = values.hold === undefined || existsSync(values.hold)
    if (request.url === "/health") return response.writeHead(healthy && isLoaded ? 200 : 503).end("{}")
    if (request.url === "/v1/models") return response.end(JSON.stringify({ data: [{ id: values.name }] }))
    if (request.url !== "/v1/chat/completions") {
      return response.writeHead(404).end(JSON.stringify({ error: { message: "nothing here" } }))
    }
    const { error = { error: { message: "it failed" } }, once, sick, status } = orderIn(body)
    if (sick !== undefined && isFirst(sick)) healthy = false
    if (!healthy) return fail(response, 500, error)
    if (status !== undefined) return fail(response, status, error)
    if (once !== undefined && isFirst(once)) return fail(response, 500, error)
    return answer(response)
  })
}).listen(Number(values.port), "127.0.0.1")
