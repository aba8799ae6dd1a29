// A fake of an engine that answers with the bytes that the request names, run as a process: `--port N --name MODEL`. The
// text of the last message, or the input, is JSON: the status, the content type and the pieces of the body.
import { createServer } from "node:http"
import { parseArgs } from "node:util"

const { values } = parseArgs({ options: { port: { type: "string" }, name: { type: "string" } } })

createServer((request, response) => {
  response.setHeader("content-type", "application/json")
  if (request.url === "/health") return void response.end("{}")
  if (request.url === "/v1/models") return void response.end(JSON.stringify({ data: [{ id: values.name }] }))
  if (request.method !== "POST") return void response.writeHead(404).end()
  let body = ""
  request.on("data", (chunk) => (body += String(chunk)))
  request.on("end", () => {
    const { input, messages = [] } = JSON.parse(body)
    const { pieces, status, type } = JSON.parse(input ?? messages.at(-1)?.content)
    response.writeHead(status, { "content-type": type })
    for (const piece of pieces) response.write(piece)
    response.end()
  })
}).listen(Number(values.port), "127.0.0.1")
