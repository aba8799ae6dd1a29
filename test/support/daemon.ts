import * as http from "node:http"
import * as net from "node:net"
import { Context, type Duration, Effect, Layer, Scope } from "effect"
import { Token } from "../../src/access/Token.ts"
import { daemon } from "../../src/daemon/Daemon.ts"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { DaemonApi } from "../../src/daemon/DaemonApi.ts"
import { Handlers } from "../../src/job/Handlers.ts"
import { Jobs } from "../../src/job/Jobs.ts"
import { OperationRouter } from "../../src/job/OperationRouter.ts"
import { streamWork } from "../../src/job/Submission.ts"
import { readRequest } from "../../src/operation/Catalog.ts"
import { UnknownOperation } from "../../src/operation/errors.ts"
import { hiveCommand, type Routing } from "../../src/operation/Routing.ts"
import { type SettingChanges, Settings } from "../../src/settings/Settings.ts"
import type { StreamWork } from "./jobs.ts"

/** The work of each operation of a daemon under test, made from the fields of a request. */
export type Works = Readonly<
  Record<
    string,
    (fields: Readonly<Record<string, unknown>>) => StreamWork | { work: StreamWork; routing: Routing }
  >
>

export interface DaemonUnderTest {
  readonly works?: Works
  readonly settings?: SettingChanges
  readonly token?: string
  readonly host?: string
}

const routerOf = (works: Works) =>
  Layer.succeed(
    OperationRouter,
    OperationRouter.of({
      route: Effect.fnUntraced(function* (body) {
        const { fields, name } = yield* Effect.fromResult(readRequest(body))
        const make = Object.hasOwn(works, name) ? works[name] : undefined
        if (make === undefined)
          return yield* new UnknownOperation({ operation: name.slice(0, 64), known: Object.keys(works) })
        const made = make(fields)
        const { routing, work } =
          typeof made === "function"
            ? { routing: { ...hiveCommand, occupiesWorker: true }, work: made }
            : made
        return { operation: name, routing, router: "test-rtr", work: streamWork(work) }
      })
    })
  )

export const daemonLayer = ({ host = "127.0.0.1", settings, token, works = {} }: DaemonUnderTest) =>
  daemon({ name: "test", host, port: 0 }, DaemonApi, Layer.empty).pipe(
    Layer.provide(routerOf(works)),
    Layer.provideMerge(Jobs.layer),
    Layer.provide(Layer.fresh(Handlers.layer)),
    Layer.provideMerge(Layer.mergeAll(Settings.layerDefaults(settings), Token.layerMemory(token)))
  )

/** A daemon on a real socket whose operations are those of a test; it stops with the scope. */
export const startDaemon = Effect.fnUntraced(function* (options: DaemonUnderTest) {
  const context = yield* Layer.build(daemonLayer(options))
  const url = yield* Effect.provideContext(boundUrl, context)
  return { url, jobs: Context.get(context, Jobs) }
})

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
}

export interface Sent {
  readonly method?: string
  readonly path: string
  readonly body?: string | Buffer
  readonly headers?: http.OutgoingHttpHeaders
  /** How long the answer may take; 20 seconds when absent. */
  readonly within?: Duration.Input
}

/** One request over a connection of its own, and its whole answer. */
export const ask = (url: string, { body, headers, method = "GET", path, within = "20 seconds" }: Sent) =>
  Effect.callback<Answer, Error>((resume) => {
    const request = http.request(`${url}/`, { method, path, headers, agent: false }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => {
        text += chunk
      })
      response.on("end", () =>
        resume(Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, text }))
      )
      response.on("error", (error) => resume(Effect.fail(error)))
    })
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end(body)
    return Effect.sync(() => request.destroy())
  }).pipe(Effect.timeout(within), Effect.orDie)

/** Posts an operation and gives the id of its job. */
export const submitTo = (url: string, operation: object, headers: http.OutgoingHttpHeaders = {}) =>
  Effect.map(
    ask(url, { method: "POST", path: "/v1/jobs", body: JSON.stringify(operation), headers }),
    ({ status, text }): string => {
      const { job_id } = JSON.parse(text)
      if (status === 200 && typeof job_id === "string") return job_id
      throw new Error(`${status} ${text}`)
    }
  )

/** A connection on which a test writes and reads bytes itself. */
export class RawConnection {
  readonly socket: net.Socket
  /** When, on the monotonic clock, each piece came, in milliseconds. */
  readonly arrivals: Array<number> = []
  received = ""
  closed = false
  readonly #looking = new Set<() => void>()

  constructor(port: number) {
    this.socket = net.connect(port, "127.0.0.1")
    this.socket.setEncoding("latin1")
    this.socket.on("data", (chunk: string) => {
      this.received += chunk
      this.arrivals.push(performance.now())
      this.#look()
    })
    this.socket.on("error", () => {})
    this.socket.on("close", () => {
      this.closed = true
      this.#look()
    })
  }

  /** Ends when it holds of what was received, or fails after 20 seconds. */
  until(holds: (connection: this) => boolean) {
    return Effect.callback<void>((resume) => {
      const look = () => {
        if (!holds(this)) return
        this.#looking.delete(look)
        resume(Effect.void)
      }
      this.#looking.add(look)
      look()
      return Effect.sync(() => this.#looking.delete(look))
    }).pipe(Effect.timeout("20 seconds"), Effect.orDie)
  }

  /** The pieces of the chunked body, each as the server wrote it, decoded. */
  get chunks(): ReadonlyArray<string> {
    const chunks: Array<string> = []
    let rest = this.received.slice(this.received.indexOf("\r\n\r\n") + 4)
    while (true) {
      const size = /^([0-9a-f]+)\r\n/i.exec(rest)
      if (size?.[1] === undefined) return chunks
      const length = Number.parseInt(size[1], 16)
      const from = size[0].length
      if (length === 0 || rest.length < from + length) return chunks
      chunks.push(Buffer.from(rest.slice(from, from + length), "latin1").toString("utf8"))
      rest = rest.slice(from + length + 2)
    }
  }

  get body() {
    return this.chunks.join("")
  }

  #look() {
    const looking = Array.from(this.#looking)
    for (const look of looking) look()
  }
}

/** Opens a connection, writes to it, and destroys it with the scope. */
export const connect = (url: string, bytes = "") =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const connection = new RawConnection(Number(new URL(url).port))
      connection.socket.write(bytes, "latin1")
      return connection
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** A GET over a connection of its own that closes after the answer. */
export const rawGet = (url: string, path: string, headers = "") =>
  connect(url, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n`)

/** The data of each event of the full view, in order. */
export const parseEvents = (body: string) =>
  body
    .split("\n\n")
    .filter((frame) => frame.startsWith("id: "))
    .map((frame) => {
      const [, id, kind, json] = /^id: (\d+)\nevent: (\w+)\ndata: ([^\n]*)$/.exec(frame) ?? []
      return { id: Number(id), kind, json: json ?? "" }
    })

/** A scope of its own for each use, so that a test can end it. */
export const inOwnScope = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    return { scope, value: yield* Scope.provide(effect, scope) }
  })
