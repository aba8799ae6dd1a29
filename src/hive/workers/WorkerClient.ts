import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { enforceDeadlines } from "../../http/deadlines.ts"
import {
  type EngineError,
  errorInEvent,
  isContextOverflow,
  isRequestFault,
  mayBeError,
  readEngineError
} from "../../http/engineErrors.ts"
import { fromScopedPull, scopedPull } from "../../http/fromScopedPull.ts"
import { readSse } from "../../http/SseReader.ts"
import type { CompletionApi } from "../../operation/fields.ts"
import { Settings } from "../../settings/Settings.ts"
import { causeCode } from "../../settings/systemProblem.ts"
import { ContextLengthExceeded, WorkerRefused, WorkerSilent } from "./errors.ts"
import { withFittingLimit } from "./fittingLimit.ts"

/** The connection to a worker broke, or none came about: most likely its process has ended. */
export class ConnectionLost extends Data.TaggedError("WorkerGone")<{ readonly reason: string }> {}

/** A worker that listens on a port of loopback. */
export interface WorkerAddress {
  readonly id: string
  readonly port: number
  /** Tokens that one request may have, prompt and answer together. */
  readonly contextSize?: number
}

/** A request in OpenAI's words. */
export interface CompletionRequest {
  readonly api: CompletionApi
  readonly body: { readonly [field: string]: unknown }
  /** Tokens of the prompt, as estimated: a long one takes its time before the first token. */
  readonly promptTokens: number
}

/** How a worker answers the cancel of a request: it has stopped it, or has no such request. An ended process has none. */
export type CancelAnswer = "stopped" | "unknown"

/** What an engine answered. */
export interface EngineAnswer {
  readonly status: number
  readonly text: string
}

export type CompletionError = ContextLengthExceeded | ConnectionLost | WorkerRefused | WorkerSilent

/** Speaks with workers over HTTP. */
export class WorkerClient extends Context.Service<
  WorkerClient,
  {
    /** Whether the worker says that it is ready; false when it does not answer within a second. */
    readonly isReady: (port: number, path?: string) => Effect.Effect<boolean>
    /** The ids of the models that are served at the port; none when nothing answers within a second. */
    readonly models: (port: number) => Effect.Effect<ReadonlyArray<string>>
    /**
     * The data of an answer's events as they come, as they came. An answer that breaks off, or that the worker ends with
     * an error, fails. `requestId` is what `cancel` takes. When the worker is silent for too long, `onSilent` has to end
     * whoever reads: this spares each event the way through a second fiber.
     */
    readonly stream: (
      worker: WorkerAddress,
      requestId: string,
      request: CompletionRequest,
      onSilent: (error: WorkerSilent) => Effect.Effect<void>
    ) => Stream.Stream<string, CompletionError>
    /** The whole of an answer that is not streamed, as it came. */
    readonly ask: (
      worker: WorkerAddress,
      requestId: string,
      request: CompletionRequest
    ) => Effect.Effect<string, CompletionError>
    /** Asks the worker to stop the request. Returns when the worker has stopped it, which has no time limit, or has no such request. */
    readonly cancel: (port: number, requestId: string) => Effect.Effect<CancelAnswer>
    /** The engine's answer to `GET` of a path; absent when the engine does not answer within a second. */
    readonly read: (port: number, path: string) => Effect.Effect<EngineAnswer | undefined>
  }
>()("rbee/hive/workers/WorkerClient") {
  static readonly layerNoDeps = Layer.effect(
    WorkerClient,
    Effect.suspend(() => make)
  )
}

const requestTimeout = "1 second"
const maxErrorBytes = 64_000

const ModelList = Schema.Struct({ data: Schema.Array(Schema.Struct({ id: Schema.String })) })
const decodeModels = Schema.decodeUnknownEffect(Schema.fromJsonString(ModelList))

// Of a prompt, before the first token.
const progressMark = '"prompt_progress":'
const endMark = "[DONE]"

const urlOf = (port: number, path: string) => `http://127.0.0.1:${port}${path}`

const closedCodes: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"])

// An engine may close an idle connection in the moment in which a request is sent on it; a new one tells whether it is gone.
const isStale = ({ reason }: HttpClientError.HttpClientError) =>
  reason._tag === "TransportError" && closedCodes.has(causeCode(reason.cause))

const gone = ({ message }: { readonly message: string }) => new ConnectionLost({ reason: message })

const make = Effect.gen(function* () {
  const http = yield* HttpClient.HttpClient
  const clock = yield* Clock.Clock
  const { limits, timeouts } = yield* Settings
  const wholeText = (worker: WorkerAddress, response: HttpClientResponse.HttpClientResponse) =>
    Stream.runFoldEffect(
      Stream.mapError(response.stream, gone),
      () => Buffer.alloc(0),
      (text, chunk) =>
        text.length + chunk.length > limits.lineBytes
          ? Effect.fail(
              new WorkerRefused({
                worker: worker.id,
                status: 200,
                detail: `The answer is longer than ${limits.lineBytes} bytes (limits.line_bytes); ask for less at once`
              })
            )
          : Effect.succeed(Buffer.concat([text, chunk]))
    ).pipe(Effect.map((bytes) => bytes.toString()))

  const shortText = (response: HttpClientResponse.HttpClientResponse) =>
    response.stream.pipe(
      Stream.decodeText(),
      Stream.runFold(
        () => "",
        (text, piece) => (text.length > maxErrorBytes ? text : text + piece)
      )
    )

  const refusal = (worker: WorkerAddress, given: number, error: EngineError) => {
    const { code, param, type } = error
    const status = isRequestFault(error) && (given === 200 || given === 500) ? 400 : given
    const detail = error.message ?? `Worker '${worker.id}' answered with the status ${status}`
    return isContextOverflow(error)
      ? new ContextLengthExceeded({ worker: worker.id, detail, param, type })
      : new WorkerRefused({ worker: worker.id, status, detail, code, param, type })
  }

  // Inside of an answer the status was 200, and only the error's code may say what it would have been.
  const failureInside = (worker: WorkerAddress, error: EngineError) =>
    refusal(worker, error.status ?? 200, error)

  const post = Effect.fnUntraced(function* (
    worker: WorkerAddress,
    requestId: string,
    { api, body }: Pick<CompletionRequest, "api" | "body">
  ) {
    const response = yield* http
      .post(urlOf(worker.port, `/v1/${api}`), {
        headers: { "x-request-id": requestId },
        body: HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.empty, body).body
      })
      .pipe(Effect.retry({ times: 1, while: isStale }), Effect.mapError(gone))
    if (response.status === 200) return response
    const text = yield* Effect.mapError(shortText(response), gone)
    return yield* refusal(worker, response.status, readEngineError(text))
  })

  // vLLM, SGLang and TGI refuse a limit of tokens that other engines cut to what is left of the context.
  const open = (worker: WorkerAddress, requestId: string, { api, body }: CompletionRequest) =>
    Effect.catchTag(post(worker, requestId, { api, body }), "ContextLengthExceeded", (error) => {
      const { contextSize } = worker
      const shorter =
        contextSize === undefined ? undefined : withFittingLimit(body, contextSize, error.detail)
      return shorter === undefined ? Effect.fail(error) : post(worker, requestId, { api, body: shorter })
    })

  /** Of an engine that answers with a document where a stream was asked for. */
  const noStream = (worker: WorkerAddress, text: string) => {
    const error = errorInEvent(text)
    return error === undefined
      ? new WorkerRefused({
          worker: worker.id,
          status: 200,
          detail: `Worker '${worker.id}' sent a JSON document instead of a stream of events; its engine must support "stream": true`
        })
      : failureInside(worker, error)
  }

  const firstEventTimeout = (promptTokens: number) =>
    Duration.toMillis(timeouts.firstToken) +
    (Duration.toMillis(timeouts.firstTokenPer1000) * promptTokens) / 1000

  const silence = (worker: WorkerAddress, promptTokens: number, heardAt: () => number | undefined) =>
    Effect.suspend(() => {
      const startedAt = clock.currentTimeMillisUnsafe()
      const bound = (limit: WorkerSilent["limit"], millis: number, since: () => number | undefined) => ({
        millis,
        since,
        error: () => new WorkerSilent({ worker: worker.id, limit, seconds: millis / 1000 })
      })
      return enforceDeadlines([
        bound("first_token", firstEventTimeout(promptTokens), () =>
          heardAt() === undefined ? startedAt : undefined
        ),
        bound("between_tokens", Duration.toMillis(timeouts.betweenTokens), heardAt)
      ])
    })

  const stream = Effect.fnUntraced(function* (
    worker: WorkerAddress,
    requestId: string,
    request: CompletionRequest,
    onSilent: (error: WorkerSilent) => Effect.Effect<void>
  ) {
    let heardAt: number | undefined
    let isWhole = false
    let isAnswering = false
    let failure: EngineError | undefined
    yield* silence(worker, request.promptTokens, () => heardAt).pipe(
      Effect.catch(onSilent),
      Effect.forkScoped
    )
    const response = yield* open(worker, requestId, request)
    if (response.headers["content-type"]?.startsWith("application/json") === true) {
      return yield* noStream(worker, yield* Effect.mapError(shortText(response), gone))
    }
    const data = readSse(response.stream, {
      maxEventSize: limits.lineBytes,
      map: ({ data, event }) => {
        if (!isAnswering && data.includes(progressMark)) return undefined
        isAnswering = true
        heardAt = clock.currentTimeMillisUnsafe()
        if (data === endMark) {
          isWhole = true
          return undefined
        }
        const error =
          event === "error" ? readEngineError(data) : mayBeError(data) ? errorInEvent(data) : undefined
        if (error === undefined) return data
        failure ??= error
        return undefined
      },
      isOver: () => isWhole || failure !== undefined,
      failed: gone,
      tooLarge: gone,
      brokenOff: (): CompletionError | undefined => {
        if (failure !== undefined) return failureInside(worker, failure)
        return isWhole ? undefined : new ConnectionLost({ reason: "the answer broke off" })
      }
    })
    return yield* scopedPull(data)
  }, fromScopedPull)

  const ask = (worker: WorkerAddress, requestId: string, request: CompletionRequest) =>
    Effect.raceFirst(
      open(worker, requestId, request).pipe(
        Effect.flatMap((response) => wholeText(worker, response)),
        Effect.flatMap((text) => {
          const error = text.length > maxErrorBytes ? undefined : errorInEvent(text)
          return error === undefined ? Effect.succeed(text) : Effect.fail(failureInside(worker, error))
        }),
        Effect.scoped
      ),
      silence(worker, request.promptTokens, () => undefined)
    )

  return WorkerClient.of({
    isReady: (port, path = "/health") =>
      http.get(urlOf(port, path)).pipe(
        Effect.map(({ status }) => status === 200),
        Effect.timeout(requestTimeout),
        Effect.orElseSucceed(() => false)
      ),
    models: (port) =>
      http.get(urlOf(port, "/v1/models")).pipe(
        Effect.flatMap(shortText),
        Effect.flatMap(decodeModels),
        Effect.map(({ data }) => data.map(({ id }) => id)),
        Effect.timeout(requestTimeout),
        Effect.orElseSucceed((): ReadonlyArray<string> => [])
      ),
    stream,
    ask,
    cancel: (port, requestId) =>
      http.del(urlOf(port, `/v1/requests/${encodeURIComponent(requestId)}`)).pipe(
        Effect.flatMap(({ status, text }) =>
          Effect.as(text, status === 200 ? ("stopped" as const) : ("unknown" as const))
        ),
        Effect.orElseSucceed((): CancelAnswer => "unknown")
      ),
    read: (port, path) =>
      http.get(urlOf(port, path)).pipe(
        Effect.flatMap((response) =>
          Effect.map(shortText(response), (text) => ({ status: response.status, text }))
        ),
        Effect.timeout(requestTimeout),
        Effect.orElseSucceed(() => undefined)
      )
  })
})
