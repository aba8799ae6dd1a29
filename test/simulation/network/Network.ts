import { Deferred, Effect, Option, type Scope, Stream } from "effect"
import {
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  HttpEffect,
  HttpServerRequest,
  type HttpServerResponse
} from "effect/http"
import type { Random } from "../../support/Random.ts"
import { Connection } from "./Connection.ts"
import { type Fault, type FaultRate, nextFault } from "./faults.ts"

/** What serves the requests to one origin. */
export type App = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  unknown,
  HttpServerRequest.HttpServerRequest | Scope.Scope
>

/** A process that listens, and the connections to it. */
interface Listening {
  readonly app: App
  readonly connections: Set<Connection>
}

/** After which event a server resumes for a client that knows the events up to the given one. */
type ResumesAt = (after: number) => number

type Carry = (connection: Connection) => Effect.Effect<void>
type Failed = HttpClientError.HttpClientError

/** A process that makes requests. */
export class ClientProcess {
  readonly #connections = new Set<Connection>()
  #isAlive = true
  readonly http: HttpClient.HttpClient

  constructor(carry: Carry, scope: Scope.Scope) {
    const execute = (request: HttpClientRequest.HttpClientRequest) =>
      Effect.suspend(() => {
        const connection = new Connection(request, () => this.#connections.delete(connection))
        this.#connections.add(connection)
        if (!this.#isAlive) {
          connection.break("ECONNREFUSED")
          return connection.answer
        }
        return Effect.andThen(
          Effect.forkIn(carry(connection), scope, { startImmediately: true }),
          connection.answer
        )
      })
    this.http = HttpClient.makeWith<Failed, never, Failed, never>(Effect.flatMap(execute), Effect.succeed)
  }

  /** How many connections it holds. */
  get open() {
    return this.#connections.size
  }

  /** The process is gone: nothing that it does then is heard of. */
  kill() {
    this.#isAlive = false
    for (const connection of this.#connections) connection.die()
  }
}

const connectTimeout = 1_000
const maxLatency = 40
const maxUnread = 10_000
/** How long a server writes to a client that is gone, when nothing tells it. */
const maxUnnoticed = 8_000

/** How many pieces of the body arrive. */
const arriving = (fault: Fault) => {
  if (fault._tag === "Mute") return 0
  return "chunks" in fault ? fault.chunks : Number.POSITIVE_INFINITY
}

/** The pooled client gives up an answer that nobody begins to read. */
const leaveUnread = (connection: Connection): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (connection.isRead) return Effect.never
    if (!connection.hasAnswer) return leaveUnread(connection)
    connection.leave()
    return Effect.void
  }).pipe(Effect.delay(maxUnread))

const endOfBody = new Uint8Array(0)

/** The request as the server reads it, which may ask for more events than the client did. */
const requestFor = (fault: Fault, request: HttpClientRequest.HttpClientRequest, resumesAt: ResumesAt) => {
  const [path, after] = request.url.split("?after=")
  if (path === undefined || after === undefined) return request
  const known = fault._tag === "Repeats" ? Math.max(0, Number(after) - fault.events) : Number(after)
  return HttpClientRequest.setUrl(request, `${path}?after=${resumesAt(known)}`)
}

/** Daemons and the way between them, on the clock of the simulation. */
export class Network {
  readonly #random: Random
  readonly #scope: Scope.Scope
  readonly #resumesAt: ResumesAt
  readonly #clients: Array<ClientProcess> = []
  readonly #listening = new Map<string, Listening>()
  /** How often a request goes wrong. */
  faultRate: FaultRate
  /** How many requests went wrong, by what it was. */
  readonly faults = new Map<string, number>()

  /** What is on its way runs in the scope. */
  constructor(
    random: Random,
    scope: Scope.Scope,
    {
      faultRate,
      resumesAt = (after) => after
    }: { readonly faultRate: FaultRate; readonly resumesAt: ResumesAt | undefined }
  ) {
    this.#random = random
    this.#resumesAt = resumesAt
    this.#scope = scope
    this.faultRate = faultRate
  }

  /** A process begins to listen at the origin. */
  listen(origin: string, app: App) {
    this.#listening.set(origin, { app, connections: new Set() })
  }

  /** The process at the origin is gone: the connections to it are reset at once. */
  kill(origin: string) {
    const connections = this.#listening.get(origin)?.connections ?? new Set()
    this.#listening.delete(origin)
    for (const connection of connections) connection.die()
  }

  /** A client of this network in a process of its own. */
  client() {
    const client = new ClientProcess((connection) => this.#carry(connection), this.#scope)
    this.#clients.push(client)
    return client
  }

  /** How many connections the clients hold. */
  get open() {
    return this.#clients.reduce((sum, { open }) => sum + open, 0)
  }

  #latency() {
    return this.#random.chance(0.5) ? Effect.void : Effect.sleep(this.#random.whole(1, maxLatency))
  }

  readonly #carry = Effect.fnUntraced(function* (this: Network, connection: Connection) {
    const fault = nextFault(this.#random, this.faultRate)
    if (fault._tag !== "None") this.faults.set(fault._tag, (this.faults.get(fault._tag) ?? 0) + 1)
    yield* this.#latency()
    if (fault._tag === "NoConnection") {
      yield* Effect.sleep(connectTimeout)
      return connection.break("UND_ERR_CONNECT_TIMEOUT")
    }
    const origin = Option.match(HttpClientRequest.toUrl(connection.request), {
      onNone: () => "",
      onSome: (url) => url.origin
    })
    const listening = this.#listening.get(origin)
    if (listening === undefined || fault._tag === "Refused") return connection.break("ECONNREFUSED")
    if (fault._tag === "RequestLost") return connection.break("ECONNRESET")
    if (fault._tag === "Proxy") {
      connection.respond(fault.status, { "content-type": "text/plain" })
      return connection.finish()
    }
    listening.connections.add(connection)
    yield* Effect.raceFirst(this.#serve(listening.app, connection, fault), this.#gone(connection, fault))
    listening.connections.delete(connection)
  })

  /** Returns when the server knows that its client is gone. */
  #gone(connection: Connection, fault: Fault) {
    const unnoticed = fault._tag === "Silent" || fault._tag === "Mute" ? maxUnnoticed : maxLatency
    return Effect.andThen(
      Effect.raceFirst(Deferred.await(connection.closed), leaveUnread(connection)),
      Effect.suspend(() => Effect.sleep(this.#random.whole(0, unnoticed)))
    )
  }

  #serve(app: App, connection: Connection, fault: Fault) {
    return HttpEffect.toHandled(app, (_, response) => this.#send(response, connection, fault)).pipe(
      Effect.provideService(
        HttpServerRequest.HttpServerRequest,
        HttpServerRequest.fromClientRequest(requestFor(fault, connection.request, this.#resumesAt))
      )
    )
  }

  readonly #send = Effect.fnUntraced(function* (
    this: Network,
    { body, headers, status }: HttpServerResponse.HttpServerResponse,
    connection: Connection,
    fault: Fault
  ) {
    yield* this.#latency()
    if (fault._tag === "AnswerLost") connection.die()
    if (fault._tag === "Slow") yield* Effect.sleep(fault.millis)
    if (fault._tag !== "Mute") connection.respond(status, headers)
    const left = { chunks: arriving(fault) }
    if (body._tag === "Stream") {
      yield* Stream.runForEach(Stream.orDie(body.stream), (bytes) =>
        this.#sendChunk(bytes, connection, fault, left)
      )
    } else if (body._tag === "Uint8Array") {
      yield* this.#sendChunk(body.body, connection, fault, left)
    }
    if (left.chunks > 0) return connection.finish()
    // The end of the body is one more piece that may not arrive.
    yield* this.#sendChunk(endOfBody, connection, fault, left)
    yield* Deferred.await(connection.closed)
  })

  readonly #sendChunk = Effect.fnUntraced(function* (
    this: Network,
    bytes: Uint8Array,
    connection: Connection,
    fault: Fault,
    left: { chunks: number }
  ) {
    const cut = this.#random.chance(0.3) ? this.#random.whole(1, bytes.length) : bytes.length
    for (const piece of cut < bytes.length ? [bytes.subarray(0, cut), bytes.subarray(cut)] : [bytes]) {
      yield* this.#latency()
      if (left.chunks-- > 0) {
        connection.deliver(piece)
        continue
      }
      if (fault._tag === "Reset") return connection.die()
      if (fault._tag === "HungUp") {
        connection.finish()
        return Deferred.doneUnsafe(connection.closed, Effect.void)
      }
    }
  })
}
