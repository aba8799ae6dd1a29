import * as http from "node:http"
import * as net from "node:net"
import { Effect } from "effect"

/** What a fake hive was asked, in order. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly body: string
}

export interface FakeHive {
  readonly url: string
  readonly port: number
  readonly asked: Array<Asked>
  /** How many sockets were opened to it. */
  readonly connections: () => number
  /** Ends when the hive has seen such a request. */
  readonly seen: (method: string, path: string) => Effect.Effect<void>
}

type Answer = (request: http.IncomingMessage, response: http.ServerResponse, body: string) => void

const listen = (server: net.Server) =>
  Effect.callback<number>((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** A fake hive on a real socket, which answers as it is told; it ends with the scope. */
export const fakeHive = (answer: Answer) =>
  Effect.gen(function* () {
    const asked: Array<Asked> = []
    const waiting = new Set<() => void>()
    const sockets = new Set<net.Socket>()
    let connections = 0
    const server = http.createServer((request, response) => {
      let body = ""
      request.on("data", (chunk: Buffer) => {
        body += chunk.toString()
      })
      request.on("end", () => {
        asked.push({ method: request.method ?? "", path: request.url ?? "", body })
        const looking = Array.from(waiting)
        for (const look of looking) look()
        answer(request, response, body)
      })
    })
    server.on("connection", (socket) => {
      connections++
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    const port = yield* Effect.acquireRelease(listen(server), () =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
    )
    const seen = (method: string, path: string) =>
      Effect.callback<void>((resume) => {
        const look = () => {
          if (!asked.some((one) => one.method === method && one.path.startsWith(path))) return
          waiting.delete(look)
          resume(Effect.void)
        }
        waiting.add(look)
        look()
      })
    const hive: FakeHive = {
      url: `http://127.0.0.1:${port}`,
      port,
      asked,
      connections: () => connections,
      seen
    }
    return hive
  })

/** A server that speaks no HTTP: it does with each connection what it is told. */
export const fakeSocket = (serve: (socket: net.Socket) => void) =>
  Effect.gen(function* () {
    const sockets = new Set<net.Socket>()
    const server = net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => sockets.delete(socket))
      serve(socket)
    })
    const port = yield* Effect.acquireRelease(listen(server), () =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
    )
    return { url: `http://127.0.0.1:${port}`, port }
  })

export const json = (response: http.ServerResponse, value: unknown, status = 200) => {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value))
}

export const eventStream = (response: http.ServerResponse) =>
  response.writeHead(200, { "content-type": "text/event-stream" })

/** Answers as a hive whose jobs all have the given events, as bytes of the full view. */
export const hiveWith =
  (events: string | ((response: http.ServerResponse) => void)): Answer =>
  (request, response) => {
    if (request.method === "POST")
      return json(response, { job_id: "job-7", sse_url: "/v1/jobs/job-7/stream" })
    if (request.method === "DELETE") return json(response, { job_id: "job-7", status: "cancelled" })
    if (request.url?.startsWith("/v1/jobs/job-7/events") !== true) return json(response, {}, 404)
    eventStream(response)
    if (typeof events === "string") response.end(events)
    else events(response)
  }
