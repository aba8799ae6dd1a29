import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { errorInEvent } from "../../http/engineErrors.ts"
import { readSse } from "../../http/SseReader.ts"
import { Settings } from "../../settings/Settings.ts"
import { completeText, connectionLost, isShort, shortText } from "./answerBody.ts"
import { answerDeadline } from "./answerDeadline.ts"
import { AnswerEvents } from "./AnswerEvents.ts"
import type { CompletionRequest, WorkerAddress } from "./CompletionRequest.ts"
import type { ConnectionLost, ContextLengthExceeded, WorkerRefused, WorkerSilent } from "./errors.ts"
import { requestPath, sendCompletion, sendReplay, workerUrl } from "./sendCompletion.ts"
import { refusalInside, streamMissing } from "./workerRefusal.ts"

/** How a worker answers the cancel of a request: it has stopped it, or has no such request. An ended process has none. */
export type CancelAnswer = "stopped" | "unknown"

/** What an engine answered. */
export interface EngineAnswer {
  readonly status: number
  readonly text: string
}

export type CompletionError = ContextLengthExceeded | ConnectionLost | WorkerRefused | WorkerSilent

/** Sends requests to workers over HTTP. */
export class WorkerClient extends Context.Service<
  WorkerClient,
  {
    /** Whether the worker says that it is ready; false when it does not answer within a second. */
    readonly isReady: (port: number, path?: string) => Effect.Effect<boolean>
    /** The ids of the models that are served at the port; none when it does not answer within a second. */
    readonly models: (port: number) => Effect.Effect<ReadonlyArray<string>>
    /**
     * Gives the data of an answer's events to `take`, unchanged, batch by batch, and returns when the answer is complete.
     * Fails when the answer breaks off, when the worker ends it with an error, and when the worker is silent for longer
     * than the settings allow. The connection is closed by then. `requestId` identifies the request for `cancel`.
     */
    readonly stream: <E>(
      worker: WorkerAddress,
      requestId: string,
      request: CompletionRequest,
      take: (data: ReadonlyArray<string>) => Effect.Effect<void, E>
    ) => Effect.Effect<void, CompletionError | E>
    /** Whether the worker keeps the answer to an earlier request; false when it does not answer within a second. */
    readonly keeps: (port: number, requestId: string) => Effect.Effect<boolean>
    /**
     * Like `stream`, for the answer to an earlier request that the worker kept: gives all its data again, from the
     * beginning.
     */
    readonly replay: <E>(
      worker: WorkerAddress,
      requestId: string,
      take: (data: ReadonlyArray<string>) => Effect.Effect<void, E>
    ) => Effect.Effect<void, CompletionError | E>
    /** A complete answer that is not streamed, unchanged. */
    readonly ask: (
      worker: WorkerAddress,
      requestId: string,
      request: CompletionRequest
    ) => Effect.Effect<string, CompletionError>
    /**
     * Asks the worker to stop the request. Returns when the worker has stopped it, which has no time limit, or has no such
     * request.
     */
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

const ModelList = Schema.Struct({ data: Schema.Array(Schema.Struct({ id: Schema.String })) })
const decodeModels = Schema.decodeUnknownEffect(Schema.fromJsonString(ModelList))

const isReady = (http: HttpClient.HttpClient, port: number, path: string) =>
  http.get(workerUrl(port, path)).pipe(
    Effect.map(({ status }) => status === 200),
    Effect.timeout(requestTimeout),
    Effect.orElseSucceed(() => false)
  )

const models = (http: HttpClient.HttpClient, port: number) =>
  http.get(workerUrl(port, "/v1/models")).pipe(
    Effect.flatMap(shortText),
    Effect.flatMap(decodeModels),
    Effect.map(({ data }) => data.map(({ id }) => id)),
    Effect.timeout(requestTimeout),
    Effect.orElseSucceed((): ReadonlyArray<string> => [])
  )

const cancel = (http: HttpClient.HttpClient, port: number, requestId: string) =>
  http.del(workerUrl(port, requestPath(requestId))).pipe(
    Effect.flatMap(({ status, text }) =>
      Effect.as(text, status === 200 ? ("stopped" as const) : ("unknown" as const))
    ),
    Effect.orElseSucceed((): CancelAnswer => "unknown")
  )

const keeps = (http: HttpClient.HttpClient, port: number, requestId: string) =>
  http.get(workerUrl(port, requestPath(requestId))).pipe(
    Effect.map(({ status }) => status === 200),
    Effect.timeout(requestTimeout),
    Effect.orElseSucceed(() => false)
  )

const read = (http: HttpClient.HttpClient, port: number, path: string) =>
  http.get(workerUrl(port, path)).pipe(
    Effect.flatMap((response) =>
      Effect.map(shortText(response), (text) => ({ status: response.status, text }))
    ),
    Effect.timeout(requestTimeout),
    Effect.orElseSucceed(() => undefined)
  )

const make = Effect.gen(function* () {
  const http = yield* HttpClient.HttpClient
  const clock = yield* Clock.Clock
  const { limits, storage, timeouts } = yield* Settings

  // Without a store, a restarted hive does not know its jobs.
  const keepMs = storage.sync === "off" ? 0 : Duration.toMillis(limits.graceRestart)

  const relay = Effect.fnUntraced(function* <E, SendError>(
    { id }: WorkerAddress,
    send: Effect.Effect<HttpClientResponse.HttpClientResponse, SendError>,
    events: AnswerEvents,
    take: (data: ReadonlyArray<string>) => Effect.Effect<void, E>
  ) {
    const response = yield* send
    if (response.headers["content-type"]?.startsWith("application/json") === true) {
      return yield* streamMissing(id, yield* Effect.mapError(shortText(response), connectionLost))
    }
    const data = readSse(response.stream, {
      maxEventSize: limits.lineBytes,
      map: ({ data, event }) => events.read(data, event),
      isOver: () => events.isOver,
      failed: connectionLost,
      tooLarge: connectionLost,
      brokenOff: (): CompletionError | undefined => events.incomplete
    })
    yield* Stream.runForEachArray(data, take)
  })

  const stream = <E>(
    worker: WorkerAddress,
    requestId: string,
    request: CompletionRequest,
    take: (data: ReadonlyArray<string>) => Effect.Effect<void, E>
  ) =>
    Effect.suspend(() => {
      const events = new AnswerEvents(worker.id, clock)
      return Effect.raceFirst(
        relay(worker, sendCompletion(http, worker, requestId, request, keepMs), events, take),
        answerDeadline(worker.id, timeouts, request.promptTokens, () => events.lastAt)
      )
    })

  const replay = <E>(
    worker: WorkerAddress,
    requestId: string,
    take: (data: ReadonlyArray<string>) => Effect.Effect<void, E>
  ) =>
    Effect.suspend(() => {
      const events = new AnswerEvents(worker.id, clock)
      return Effect.raceFirst(
        relay(worker, sendReplay(http, worker, requestId), events, take),
        answerDeadline(worker.id, timeouts, 0, () => events.lastAt)
      )
    })

  const ask = (worker: WorkerAddress, requestId: string, request: CompletionRequest) =>
    Effect.raceFirst(
      sendCompletion(http, worker, requestId, request).pipe(
        Effect.flatMap((response) => completeText(worker.id, response, limits.lineBytes)),
        Effect.flatMap((text) => {
          const error = isShort(text) ? errorInEvent(text) : undefined
          return error === undefined ? Effect.succeed(text) : Effect.fail(refusalInside(worker.id, error))
        }),
        Effect.scoped
      ),
      answerDeadline(worker.id, timeouts, request.promptTokens, () => undefined)
    )

  return WorkerClient.of({
    stream,
    replay,
    ask,
    isReady: (port, path = "/health") => isReady(http, port, path),
    keeps: (port, requestId) => keeps(http, port, requestId),
    models: (port) => models(http, port),
    cancel: (port, requestId) => cancel(http, port, requestId),
    read: (port, path) => read(http, port, path)
  })
})
