import * as http from "node:http"
import type * as net from "node:net"
import * as Effect from "effect/Effect"

/** One request that a fake hive received. */
export interface ReceivedRequest {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly body: string
}

/** Answers one request with bytes of its own choice, in time or never. */
export type RawAnswer = (request: http.IncomingMessage, response: http.ServerResponse, body: string) => void

const port = (server: net.Server) => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** The requests that a server has received, and the tests that wait for one. */
class RequestLog {
  readonly requests: Array<ReceivedRequest> = []
  readonly #waiting = new Set<() => void>()

  add(request: ReceivedRequest) {
    this.requests.push(request)
    const waiting = Array.from(this.#waiting)
    for (const look of waiting) look()
  }

  /** Returns when such a request has come. */
  seen(method: string, path: string) {
    return Effect.callback<void>((resume) => {
      const look = () => {
        if (!this.requests.some((one) => one.method === method && one.path.startsWith(path))) return
        this.#waiting.delete(look)
        resume(Effect.void)
      }
      this.#waiting.add(look)
      look()
      return Effect.sync(() => this.#waiting.delete(look))
    })
  }
}

/** Starts a server on a free loopback port; it resets its connections when the scope closes. */
export const serveRaw = Effect.fnUntraced(function* (answer: RawAnswer) {
  const log = new RequestLog()
  const sockets = new Set<net.Socket>()
  let connections = 0
  const server = http.createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString()
      log.add({ method: request.method ?? "", path: request.url ?? "", body })
      answer(request, response, body)
    })
  })
  server.on("connection", (socket) => {
    connections++
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
  )
  return {
    url: `http://127.0.0.1:${port(server)}`,
    port: port(server),
    requests: log.requests,
    connections: () => connections,
    seen: (method: string, path: string) => log.seen(method, path)
  }
})
