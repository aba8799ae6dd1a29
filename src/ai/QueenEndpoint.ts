import * as AiError from "effect/ai/AiError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/** Where requests are sent: a queen, or a single hive. */
export interface EndpointOptions {
  /** The address of the daemon, such as `http://127.0.0.1:8500`. */
  readonly url: string
  /** An API key or the daemon's token; not needed on loopback until a key exists. */
  readonly apiKey?: Redacted.Redacted<string> | undefined
  /** Until the response begins. Two minutes by default: the daemon may have to load the model first. */
  readonly startTimeout?: Duration.Input | undefined
  /** Without a byte of a stream. One minute by default; a daemon sends some every second while a request waits. */
  readonly idleTimeout?: Duration.Input | undefined
}

const ErrorBody = Schema.fromJsonString(
  Schema.Struct({
    error: Schema.Struct({
      message: Schema.String,
      code: Schema.optionalKey(Schema.NullOr(Schema.String)),
      param: Schema.optionalKey(Schema.NullOr(Schema.String))
    })
  })
)
const readErrorBody = Schema.decodeUnknownOption(ErrorBody)

/** Posts JSON to a daemon's OpenAI endpoints, with a time limit for each wait and failures as `AiError`. */
export class QueenEndpoint {
  readonly #client: HttpClient.HttpClient
  readonly #module: string
  readonly #options: EndpointOptions

  constructor(client: HttpClient.HttpClient, module: string, options: EndpointOptions) {
    this.#client = client
    this.#module = module
    this.#options = options
  }

  /** The JSON of a complete response. */
  readonly json = <A, I>(method: string, path: string, body: unknown, schema: Schema.Codec<A, I>) =>
    this.#post(method, path, body).pipe(
      Effect.flatMap((response) => response.json),
      Effect.flatMap(Schema.decodeUnknownEffect(schema)),
      Effect.catchTags({
        HttpClientError: (error) => Effect.fail(this.#connectionFailed(method, error)),
        SchemaError: (error) =>
          Effect.fail(this.#fail(method, AiError.InvalidResponseError.fromSchemaError(error)))
      })
    )

  /** The data of the events of a streamed response, without the end marker. */
  readonly events = (method: string, path: string, body: unknown): Stream.Stream<string, AiError.AiError> =>
    Stream.unwrap(Effect.map(this.#post(method, path, body), (response) => response.stream)).pipe(
      Stream.timeoutOrElse({
        duration: this.#options.idleTimeout ?? "1 minute",
        orElse: () => Stream.fail(this.#timedOut(method, "sent nothing"))
      }),
      Stream.decodeText(),
      Stream.pipeThroughChannel(Sse.decode()),
      Stream.map(({ data }) => data),
      Stream.takeWhile((data) => data !== "[DONE]"),
      Stream.mapError((error) =>
        AiError.isAiError(error)
          ? error
          : error._tag === "HttpClientError"
            ? this.#connectionFailed(method, error)
            : this.#fail(method, new AiError.InvalidResponseError({ description: String(error) }))
      )
    )

  /** An error that the daemon reports inside of a response that has begun. */
  readonly reported = (method: string, description: string) =>
    this.#fail(method, new AiError.InternalProviderError({ description }))

  #post(method: string, path: string, body: unknown) {
    const request = HttpClientRequest.post(`${this.#options.url.replace(/\/+$/, "")}${path}`).pipe(
      HttpClientRequest.bodyJsonUnsafe(body),
      this.#options.apiKey === undefined
        ? (request: HttpClientRequest.HttpClientRequest) => request
        : HttpClientRequest.bearerToken(this.#options.apiKey)
    )
    return this.#client.execute(request).pipe(
      Effect.mapError((error) => this.#connectionFailed(method, error)),
      Effect.timeoutOrElse({
        duration: this.#options.startTimeout ?? "2 minutes",
        orElse: () => Effect.fail(this.#timedOut(method, "did not respond"))
      }),
      Effect.flatMap((response) =>
        response.status === 200 ? Effect.succeed(response) : this.#refused(method, response)
      )
    )
  }

  #refused(method: string, response: HttpClientResponse.HttpClientResponse) {
    return response.text.pipe(
      Effect.orElseSucceed(() => ""),
      Effect.flatMap((text) => {
        const error = Option.getOrUndefined(readErrorBody(text))?.error
        return Effect.fail(this.#fail(method, reasonOf(response, error)))
      })
    )
  }

  #connectionFailed(method: string, error: HttpClientError.HttpClientError) {
    const { message, request } = error
    return this.#fail(
      method,
      new AiError.NetworkError({
        reason: "TransportError",
        method: request.method,
        url: request.url,
        description: message,
        cause: error
      })
    )
  }

  #timedOut(method: string, what: string) {
    return this.#fail(
      method,
      new AiError.InternalProviderError({ description: `${this.#options.url} ${what} in time` })
    )
  }

  #fail(method: string, reason: AiError.AiErrorReason) {
    return AiError.make({ module: this.#module, method, reason })
  }
}

const retryAfterOf = ({ headers }: HttpClientResponse.HttpClientResponse) => {
  const seconds = Number(headers["retry-after"])
  return Number.isFinite(seconds) && seconds > 0 ? Duration.seconds(seconds) : undefined
}

const reasonOf = (
  response: HttpClientResponse.HttpClientResponse,
  error: (typeof ErrorBody.Type)["error"] | undefined
): AiError.AiErrorReason => {
  const { status } = response
  const description = error?.message ?? `The daemon responded with status ${status}`
  if (status === 429 || status === 503) {
    return new AiError.RateLimitError({
      retryAfter: retryAfterOf(response),
      metadata: { rbee: { description } }
    })
  }
  if (status === 400 || status === 404 || status === 413 || status === 422) {
    return new AiError.InvalidRequestError({ description, parameter: error?.param ?? undefined })
  }
  if (status >= 500) return new AiError.InternalProviderError({ description })
  return AiError.reasonFromHttpStatus({ status, description })
}
