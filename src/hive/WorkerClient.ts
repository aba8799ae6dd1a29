import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Settings } from "../config/Settings.ts"
import { readSse, type SseEvent } from "../job/SseReader.ts"
import { type CompletionPiece, readPiece } from "./Completion.ts"
import { ContextLengthExceeded, WorkerRefused, WorkerSilent } from "./errors.ts"

/** The connection to a worker broke, or none came about: most likely its process has ended. */
export class WorkerGone extends Data.TaggedError("WorkerGone")<{ readonly reason: string }> {}

/** A worker that listens on a port of loopback. */
export interface WorkerAddress {
  readonly id: string
  readonly port: number
}

/** What a worker is asked to continue, in the words of OpenAI's `/v1/completions`. */
export interface CompletionRequest {
  readonly model: string
  readonly prompt: string
  readonly max_tokens: number
  readonly temperature: number
  readonly top_p: number | undefined
  readonly top_k: number | undefined
}

export type CompletionError = ContextLengthExceeded | WorkerGone | WorkerRefused | WorkerSilent

/** Speaks with workers over HTTP. */
export class WorkerClient extends Context.Service<
  WorkerClient,
  {
    /** Whether the worker says that it is ready; false when it does not answer within a second. */
    readonly isReady: (port: number) => Effect.Effect<boolean>
    /** The ids of the models that are served at the port; none when nothing answers within a second. */
    readonly models: (port: number) => Effect.Effect<ReadonlyArray<string>>
    /** The pieces of an answer as they are made. `requestId` is what `cancel` takes. */
    readonly complete: (
      worker: WorkerAddress,
      requestId: string,
      request: CompletionRequest
    ) => Stream.Stream<CompletionPiece, CompletionError>
    /** Returns when the worker has stopped the request, or after two seconds; an unknown request is fine. */
    readonly cancel: (port: number, requestId: string) => Effect.Effect<void>
  }
>()("rbee/hive/WorkerClient") {
  static readonly layerNoDeps = Layer.effect(
    WorkerClient,
    Effect.suspend(() => make)
  )
}

const askWithin = "1 second"
const cancelWithin = "2 seconds"
const mostErrorBytes = 64_000

const ModelList = Schema.Struct({ data: Schema.Array(Schema.Struct({ id: Schema.String })) })
const decodeModels = Schema.decodeUnknownEffect(Schema.fromJsonString(ModelList))

const Refusal = Schema.Struct({
  error: Schema.Struct({ message: Schema.String, code: Schema.optionalKey(Schema.NullOr(Schema.String)) })
})
const decodeRefusal = Schema.decodeUnknownOption(Schema.fromJsonString(Refusal))

const urlOf = (port: number, path: string) => `http://127.0.0.1:${port}${path}`

const gone = ({ message }: { readonly message: string }) => new WorkerGone({ reason: message })

const make = Effect.gen(function* () {
  const http = yield* HttpClient.HttpClient
  const clock = yield* Clock.Clock
  const { limits, timeouts } = yield* Settings
  const silenceMillis = Duration.toMillis(timeouts.workerRequest)

  const shortText = (response: HttpClientResponse.HttpClientResponse) =>
    response.stream.pipe(
      Stream.decodeText(),
      Stream.runFold(
        () => "",
        (text, piece) => (text.length > mostErrorBytes ? text : text + piece)
      )
    )

  const refused = Effect.fnUntraced(function* (
    worker: WorkerAddress,
    response: HttpClientResponse.HttpClientResponse
  ) {
    const text = yield* Effect.mapError(shortText(response), gone)
    const error = Option.getOrUndefined(decodeRefusal(text))?.error
    const detail = error?.message ?? `Worker '${worker.id}' answered with the status ${response.status}`
    return yield* error?.code === "context_length_exceeded"
      ? new ContextLengthExceeded({ worker: worker.id, detail })
      : new WorkerRefused({ worker: worker.id, status: response.status, detail })
  })

  // One fiber that looks at the clock, instead of a timer around the wait for each piece.
  const silence = (worker: WorkerAddress, heardAt: () => number) =>
    Effect.gen(function* () {
      while (true) {
        const left = heardAt() + silenceMillis - clock.currentTimeMillisUnsafe()
        if (left <= 0) return yield* new WorkerSilent({ worker: worker.id, seconds: silenceMillis / 1000 })
        yield* Effect.sleep(left)
      }
    })

  const complete = (worker: WorkerAddress, requestId: string, request: CompletionRequest) =>
    Stream.suspend(() => {
      let heardAt = clock.currentTimeMillisUnsafe()
      const heard = <A>(chunks: A) => {
        heardAt = clock.currentTimeMillisUnsafe()
        return chunks
      }
      const pieces = Stream.unwrap(
        Effect.gen(function* () {
          const response = yield* http
            .post(urlOf(worker.port, "/v1/completions"), {
              headers: { "x-request-id": requestId },
              body: HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.empty, {
                ...request,
                stream: true,
                stream_options: { include_usage: true }
              }).body
            })
            .pipe(Effect.mapError(gone))
          if (response.status !== 200) return yield* refused(worker, response)
          const bytes = Stream.mapArray(response.stream, heard)
          return Stream.mapError(readSse(bytes, { maxEventSize: limits.lineBytes, map: toPiece }), gone)
        })
      )
      return Stream.merge(pieces, Stream.fromEffectDrain(silence(worker, () => heardAt)), {
        haltStrategy: "left"
      })
    })

  return WorkerClient.of({
    isReady: (port) =>
      http.get(urlOf(port, "/health")).pipe(
        Effect.map(({ status }) => status === 200),
        Effect.timeout(askWithin),
        Effect.orElseSucceed(() => false)
      ),
    models: (port) =>
      http.get(urlOf(port, "/v1/models")).pipe(
        Effect.flatMap(shortText),
        Effect.flatMap(decodeModels),
        Effect.map(({ data }) => data.map(({ id }) => id)),
        Effect.timeout(askWithin),
        Effect.orElseSucceed((): ReadonlyArray<string> => [])
      ),
    complete,
    cancel: (port, requestId) =>
      http.del(urlOf(port, `/v1/requests/${encodeURIComponent(requestId)}`)).pipe(
        Effect.flatMap(({ text }) => text),
        Effect.timeout(cancelWithin),
        Effect.ignore
      )
  })
})

const toPiece = ({ data }: SseEvent) => (data === "[DONE]" ? undefined : readPiece(data))
