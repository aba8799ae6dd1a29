// A fake of an engine that is stopped by closing the connection, run as a process: `--port N --name MODEL`. It writes a
// token every 20 ms for as long as the client is there. `GET /state` reports how many requests it works on, how many tokens
// it has written, and when it stopped last, in milliseconds since 1970.
import { createServer } from "node:http"
import { parseArgs } from "node:util"

const { values } = parseArgs({ options: { port: { type: "string" }, name: { type: "string" } } })

let running = 0
let tokens = 0
let stoppedAt = 0
createServer((request, response) => {
  response.setHeader("content-type", "application/json")
  if (request.url === "/health") return void response.end("{}")
  if (request.url === "/state") return void response.end(JSON.stringify({ running, tokens, stoppedAt }))
  if (request.url === "/v1/models") return void response.end(JSON.stringify({ data: [{ id: values.name }] }))
  if (request.method !== "POST") return void response.writeHead(404).end()
  response.writeHead(200, { "content-type": "text/event-stream" })
  running++
  const writing = setInterval(() => {
    tokens++
    const choices = [{ index: 0, text: "a ", delta: { content: "a " }, finish_reason: null }]
    response.write(`data: ${JSON.stringify({ id: "1", choices })}\n\n`)
  }, 20)
  response.on("close", () => {
    running--
    stoppedAt = performance.timeOrigin + performance.now()
    clearInterval(writing)
  })
}).listen(Number(values.port), "127.0.0.1")
