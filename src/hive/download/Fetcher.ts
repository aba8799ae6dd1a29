import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { makePooledClient } from "../../http/PooledClient.ts"
import { Settings } from "../../settings/Settings.ts"
import { causeCode } from "../../settings/systemProblem.ts"
import {
  DownloadInterrupted,
  DownloadNotFound,
  DownloadUnauthorized,
  type FetchError,
  InvalidAnswer,
  PrivateAddress,
  RateLimited,
  ServerFailed,
  shownUrl,
  TooManyRedirects
} from "./errors.ts"
import {
  guardedLookup,
  isPrivateAddress,
  leadsToPrivateAddress,
  privateAddressCode
} from "./PrivateAddress.ts"
import { isThisMachine, makeDispatcher, type Proxies, readProxies, shownProxy } from "./Proxies.ts"
import type { Access } from "./RemoteModel.ts"

/** What is asked for, with which right, and headers besides. */
export interface FetchRequest {
  readonly url: string
  readonly access: Access
  readonly headers?: Readonly<Record<string, string>>
}

/** An answer of status 200 or 206, whose body can be read once. */
export interface Opened {
  readonly status: number
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Hands on the body as it comes. Fails when nothing comes for `timeouts.download`. */
  readonly read: <E>(
    take: (chunks: ReadonlyArray<Uint8Array>) => Effect.Effect<void, E>
  ) => Effect.Effect<void, E | FetchError>
}

/** Reads from servers of models: follows redirects, and keeps away from private addresses. */
export class Fetcher extends Context.Service<
  Fetcher,
  {
    /** Reads a JSON answer of at most 8 MB. */
    readonly json: <A>(
      request: FetchRequest,
      schema: Schema.ConstraintDecoder<A>
    ) => Effect.Effect<A, FetchError>
    /** Reads a text of at most 8 MB. */
    readonly text: (request: FetchRequest) => Effect.Effect<string, FetchError>
    readonly open: (request: FetchRequest) => Effect.Effect<Opened, FetchError, Scope.Scope>
  }
>()("rbee/hive/download/Fetcher") {
  static readonly layerNoDeps = Layer.effect(
    Fetcher,
    Effect.suspend(() => make)
  )
}

const maxRedirects = 8
const maxRateLimits = 3
/** Seconds: a server that asks for a longer pause is reported at once. */
const maxRetryAfter = 60
const maxJsonBytes = 8_000_000
const redirects = new Set([301, 302, 303, 307, 308])
const idleConnections = 16
// Of each body while it is written; less would stop the connection again and again.
const maxUnreadBytes = 1024 * 1024

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "the host name could not be resolved",
  EAI_AGAIN: "the host name could not be resolved",
  ECONNRESET: "connection reset",
  UND_ERR_SOCKET: "the connection was closed",
  UND_ERR_CONNECT_TIMEOUT: "the connection timed out",
  ETIMEDOUT: "the connection timed out"
}

// A tunnel that the proxy refused is an error of undici's with nothing but its words.
const proxyStatus = (cause: unknown) =>
  cause instanceof Error ? /^Proxy response \((\d{3})\)/.exec(cause.message)?.[1] : undefined

const broken = (url: string, proxy: string | undefined) => (error: HttpClientError) => {
  const { cause } = error.reason
  const code = causeCode(cause)
  if (code === privateAddressCode) {
    return new PrivateAddress({ url: shownUrl(url), host: new URL(url).hostname })
  }
  const status = proxyStatus(cause)
  const problem =
    status === undefined
      ? (reasons[code ?? ""] ?? code ?? (cause instanceof Error ? cause.message : "no connection"))
      : `the proxy answered ${status}`
  const reason = proxy === undefined ? problem : `${problem} (through the proxy ${proxy})`
  return new DownloadInterrupted({ url: shownUrl(url), reason })
}

const secondsOf = (retryAfter: string | undefined, now: number) => {
  if (retryAfter === undefined) return undefined
  if (/^\d{1,6}$/.test(retryAfter)) return Number(retryAfter)
  const date = Date.parse(retryAfter)
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000))
}

const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const { models, timeouts } = yield* Settings
  const silenceMillis = Duration.toMillis(timeouts.download)
  const privateHosts = new Set(models.privateHosts.map((host) => host.toLowerCase()))

  const proxies = yield* readProxies
  const connectTimeout = Duration.toMillis(timeouts.connect)
  const pool = (connect: { readonly lookup?: typeof guardedLookup }, proxies: Proxies | undefined) =>
    Effect.flatMap(
      makeDispatcher(
        {
          connections: models.connections + idleConnections,
          connectTimeout,
          connect: { ...connect, timeout: connectTimeout }
        },
        proxies
      ),
      (dispatcher) => makePooledClient(dispatcher, maxUnreadBytes)
    )
  const direct = yield* pool({}, undefined)
  const open = proxies === undefined ? direct : yield* pool({}, proxies)
  const guarded = yield* pool({ lookup: guardedLookup }, proxies)

  const clientFor = Effect.fnUntraced(function* (url: URL, access: Access) {
    const isAllowed = privateHosts.has(url.hostname) || privateHosts.has(url.host)
    if (access.mayBePrivate || isAllowed) return isThisMachine(url.hostname) ? direct : open
    // A literal address is connected to without being looked up.
    const literal = url.hostname.replace(/^\[|\]$/g, "")
    // A proxy resolves names itself, out of reach of the guarded connections.
    if (isPrivateAddress(literal) || (proxies !== undefined && (yield* leadsToPrivateAddress(literal)))) {
      return yield* new PrivateAddress({ url: shownUrl(url.href), host: literal })
    }
    return guarded
  })

  const proxyOf = (url: URL) => (isThisMachine(url.hostname) ? undefined : shownProxy(proxies, url))

  const failureOf = (url: string, response: HttpClientResponse.HttpClientResponse) => {
    const sanitized = shownUrl(url)
    switch (response.status) {
      case 401:
      case 403:
        return new DownloadUnauthorized({ url: sanitized, status: response.status })
      case 404:
      case 410:
        return new DownloadNotFound({ url: sanitized })
      case 429: {
        const now = clock.currentTimeMillisUnsafe()
        return new RateLimited({ url: sanitized, seconds: secondsOf(response.headers["retry-after"], now) })
      }
      default:
        return new ServerFailed({ url: sanitized, status: response.status })
    }
  }

  const silent = (url: string) =>
    new DownloadInterrupted({
      url: shownUrl(url),
      reason: `nothing came for ${silenceMillis / 1000} s (timeouts.download)`
    })

  /** Follows redirects to an answer with a body. The token goes to the first origin only. */
  const request = Effect.fnUntraced(function* ({ access, headers = {}, url: first }: FetchRequest) {
    let url = new URL(first)
    const { origin } = url
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const client = yield* clientFor(url, access)
      const authorized = access.token !== undefined && url.origin === origin
      const response = yield* client
        .execute(
          HttpClientRequest.get(url.href, {
            headers: {
              ...headers,
              ...(authorized ? { authorization: `Bearer ${Redacted.value(access.token)}` } : {})
            }
          })
        )
        .pipe(
          Effect.mapError(broken(url.href, proxyOf(url))),
          Effect.timeoutOrElse({
            duration: timeouts.download,
            orElse: () => Effect.fail<FetchError>(silent(url.href))
          })
        )
      if (response.status === 200 || response.status === 206) return { response, url: url.href }
      yield* Effect.ignore(Stream.runDrain(Stream.take(response.stream, 1)))
      if (!redirects.has(response.status)) return yield* failureOf(url.href, response)
      const next = URL.parse(response.headers["location"] ?? "", url.href)
      if (next === null || !/^https?:$/.test(next.protocol)) {
        return yield* new InvalidAnswer({ url: shownUrl(url.href), detail: "redirects to no address" })
      }
      if (url.protocol === "https:" && next.protocol === "http:" && !access.mayBePrivate) {
        return yield* new InvalidAnswer({
          url: shownUrl(url.href),
          detail: "redirects from https to plain http"
        })
      }
      url = next
    }
    return yield* new TooManyRedirects({ url: shownUrl(first) })
  })

  const openAt = Effect.fnUntraced(function* (asked: FetchRequest) {
    const { response, url } = yield* request(asked)
    const read = <E>(take: (chunks: ReadonlyArray<Uint8Array>) => Effect.Effect<void, E>) =>
      Effect.suspend(() => {
        let heardAt = clock.currentTimeMillisUnsafe()
        // While what came is taken, nobody waits for the server.
        let taking = false
        const reading = response.stream.pipe(
          Stream.mapError(broken(url, proxyOf(new URL(url)))),
          Stream.runForEachArray((chunks) => {
            taking = true
            return Effect.ensuring(
              take(chunks),
              Effect.sync(() => {
                taking = false
                heardAt = clock.currentTimeMillisUnsafe()
              })
            )
          })
        )
        const watching = Effect.gen(function* () {
          while (true) {
            const left = taking ? silenceMillis : heardAt + silenceMillis - clock.currentTimeMillisUnsafe()
            if (left <= 0) return yield* silent(url)
            yield* Effect.sleep(left)
          }
        })
        return Effect.raceFirst(reading, watching)
      })
    return { status: response.status, headers: response.headers, read }
  })

  const text = Effect.fnUntraced(function* (asked: FetchRequest) {
    const opened = yield* openAt(asked)
    const decoder = new TextDecoder()
    let json = ""
    yield* opened.read((chunks) => {
      for (const chunk of chunks) json += decoder.decode(chunk, { stream: true })
      const detail = `answered with over ${maxJsonBytes} bytes`
      return json.length <= maxJsonBytes
        ? Effect.void
        : Effect.fail(new InvalidAnswer({ url: shownUrl(asked.url), detail }))
    })
    return json
  })

  /** Waits and asks again when a server has had too many requests, unless it wants to be left alone for long. */
  const whenAllowed = <A, R>(
    attempt: Effect.Effect<A, FetchError, R>,
    failures = 1
  ): Effect.Effect<A, FetchError, R> =>
    Effect.catchTag(attempt, "RateLimited", (error) =>
      failures > maxRateLimits || (error.seconds ?? 0) > maxRetryAfter
        ? Effect.fail(error)
        : Effect.andThen(
            Effect.sleep(Duration.seconds(error.seconds ?? 2 ** failures)),
            whenAllowed(attempt, failures + 1)
          )
    )

  return Fetcher.of({
    open: Effect.fn("Fetcher.open")(openAt),
    text: Effect.fn("Fetcher.text")((asked) => whenAllowed(text(asked))),
    json: Effect.fn("Fetcher.json")(function* <A>(asked: FetchRequest, schema: Schema.ConstraintDecoder<A>) {
      const request = { ...asked, headers: { accept: "application/json", ...asked.headers } }
      const json = yield* whenAllowed(text(request))
      return yield* Effect.mapError(
        Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(json),
        () =>
          new InvalidAnswer({ url: shownUrl(asked.url), detail: "did not answer with the JSON of a model" })
      )
    })
  })
})
