import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Settings } from "../../settings/Settings.ts"
import { type FetchError, InvalidAnswer, withoutQuery, TooManyRedirects } from "./errors.ts"
import { makeHostClients } from "./hostClients.ts"
import { readChunks } from "./readChunks.ts"
import type { Access } from "./RemoteModel.ts"
import { connectionError, silenceError, statusError } from "./responseErrors.ts"

/** A request with its credentials and additional headers. */
export interface FetchRequest {
  readonly url: string
  readonly access: Access
  readonly headers?: Readonly<Record<string, string>>
}

/** A response of status 200 or 206, whose body can be read once. */
export interface OpenResponse {
  readonly status: number
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Passes the body on in chunks. Fails when no byte arrives for `timeouts.download`. */
  readonly read: <E>(
    take: (chunks: ReadonlyArray<Uint8Array>) => Effect.Effect<void, E>
  ) => Effect.Effect<void, E | FetchError>
}

/** Reads from model servers: follows redirects, and rejects private addresses. */
export class Fetcher extends Context.Service<
  Fetcher,
  {
    /** Reads a JSON response of at most 8 MB. */
    readonly json: <A>(
      request: FetchRequest,
      schema: Schema.ConstraintDecoder<A>
    ) => Effect.Effect<A, FetchError>
    /** Reads a text of at most 8 MB. */
    readonly text: (request: FetchRequest) => Effect.Effect<string, FetchError>
    readonly open: (request: FetchRequest) => Effect.Effect<OpenResponse, FetchError, Scope.Scope>
  }
>()("rbee/hive/download/Fetcher") {
  static readonly layerNoDeps = Layer.effect(
    Fetcher,
    Effect.suspend(() => make)
  )
}

const maxRedirects = 8
const maxRateLimits = 3
/** Seconds: a longer pause is reported at once. */
const maxRetryAfter = 60
const maxTextBytes = 8_000_000
const redirects = new Set([301, 302, 303, 307, 308])

const authorization = ({ token }: Access) =>
  token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }

/** The target of a redirect. */
const redirectTarget = (url: URL, location: string | undefined, access: Access) => {
  const invalid = (detail: string) => Effect.fail(new InvalidAnswer({ url: withoutQuery(url.href), detail }))
  const next = URL.parse(location ?? "", url.href)
  if (next === null || !/^https?:$/.test(next.protocol)) return invalid("redirects to an invalid address")
  const isDowngrade = url.protocol === "https:" && next.protocol === "http:"
  return isDowngrade && !access.mayBePrivate
    ? invalid("redirects from https to plain http")
    : Effect.succeed(next)
}

/** The text of a body of at most 8 MB. */
const textOf = Effect.fnUntraced(function* (opened: OpenResponse, url: string) {
  const decoder = new TextDecoder()
  let text = ""
  yield* opened.read((chunks) => {
    for (const chunk of chunks) text += decoder.decode(chunk, { stream: true })
    const detail = `answered with over ${maxTextBytes} bytes`
    return text.length <= maxTextBytes
      ? Effect.void
      : Effect.fail(new InvalidAnswer({ url: withoutQuery(url), detail }))
  })
  return text
})

/** Retries after the pause that a rate-limited server requests, unless it is too long. */
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

const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const { timeouts } = yield* Settings
  const silenceMillis = Duration.toMillis(timeouts.download)
  const { clientFor, proxyOf } = yield* makeHostClients

  const send = Effect.fnUntraced(function* (
    url: URL,
    access: Access,
    headers: Readonly<Record<string, string>>
  ) {
    const client = yield* clientFor(url, access)
    return yield* client.execute(HttpClientRequest.get(url.href, { headers })).pipe(
      Effect.mapError(connectionError(url.href, proxyOf(url))),
      Effect.timeoutOrElse({
        duration: timeouts.download,
        orElse: () => Effect.fail<FetchError>(silenceError(url.href, silenceMillis))
      })
    )
  })

  /** Follows redirects to a response with a body. Only the first origin receives the token. */
  const request = Effect.fnUntraced(function* ({ access, headers = {}, url: first }: FetchRequest) {
    let url = new URL(first)
    const { origin } = url
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const credentials = url.origin === origin ? authorization(access) : {}
      const response = yield* send(url, access, { ...headers, ...credentials })
      if (response.status === 200 || response.status === 206) return { response, url }
      yield* Effect.ignore(Stream.runDrain(Stream.take(response.stream, 1)))
      if (!redirects.has(response.status)) {
        return yield* statusError(url.href, response, clock.currentTimeMillisUnsafe())
      }
      url = yield* redirectTarget(url, response.headers["location"], access)
    }
    return yield* new TooManyRedirects({ url: withoutQuery(first) })
  })

  const open = Effect.fn("Fetcher.open")(function* (options: FetchRequest) {
    const { response, url } = yield* request(options)
    const body = Stream.mapError(response.stream, connectionError(url.href, proxyOf(url)))
    const opened: OpenResponse = {
      status: response.status,
      headers: response.headers,
      read: (take) => readChunks(body, take, { clock, silenceMillis, url: url.href })
    }
    return opened
  })

  const text = Effect.fn("Fetcher.text")((options: FetchRequest) =>
    whenAllowed(Effect.scoped(Effect.flatMap(open(options), (opened) => textOf(opened, options.url))))
  )

  return Fetcher.of({
    open,
    text,
    json: Effect.fn("Fetcher.json")(function* <A>(
      options: FetchRequest,
      schema: Schema.ConstraintDecoder<A>
    ) {
      const json = yield* text({ ...options, headers: { accept: "application/json", ...options.headers } })
      return yield* Effect.mapError(
        Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(json),
        () =>
          new InvalidAnswer({
            url: withoutQuery(options.url),
            detail: "did not answer with the JSON of a model"
          })
      )
    })
  })
})
