import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import type { Token } from "node-llama-cpp"
import { answered, chatShape, completionShape, type Shape, streamed } from "./Answer.ts"
import type { Engine } from "./Engine.ts"
import { BadRequest } from "./errors.ts"
import { unknownRequest } from "./httpErrors.ts"
import { chatPrompt, completionPrompts } from "./prompts.ts"
import type { KeptRequest, Replays } from "./Replays.ts"
import { readChat, readCompletion } from "./RequestBody.ts"
import { openRequest, type Requests } from "./Requests.ts"
import { samplingOf } from "./samplingOf.ts"
import { checkModel, type Served, withEngine } from "./Served.ts"
import type { ChatRequest, CompletionRequest } from "./Wire.ts"

/** The services of a request. */
export interface RouteServices {
  readonly replays: Replays["Service"]
  readonly requests: Requests["Service"]
  readonly served: Served["Service"]
}

/** A generation request with its tokenized prompts. */
interface Generation {
  readonly request: CompletionRequest | ChatRequest
  readonly prompts: ReadonlyArray<ReadonlyArray<Token>>
  readonly maxTokens: number | null | undefined
  readonly shapeOf: (id: string, model: string, created: number) => Shape
}

const defaultCompletionTokens = 16
const millisPerSecond = 1000

const eventStream = { contentType: "text/event-stream", headers: { "cache-control": "no-cache" } }

const maxKeepMs = 3_600_000

/** The current request, if its client asks to keep the streamed answer: with an `x-request-id` and `x-rbee-keep-ms`. */
const keptRequest = (request: CompletionRequest | ChatRequest) =>
  Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }): KeptRequest | undefined => {
    const id = headers["x-request-id"]
    const keepMs = Number(headers["x-rbee-keep-ms"] ?? 0)
    if (request.stream !== true || id === undefined || !(keepMs > 0)) return undefined
    return { id, keepMs: Math.min(keepMs, maxKeepMs) }
  })

const generate = Effect.fnUntraced(function* (
  { replays, requests, served }: RouteServices,
  engine: Engine["Service"],
  { maxTokens, prompts, request, shapeOf }: Generation
) {
  yield* checkModel(served, request.model)
  const kept = yield* keptRequest(request)
  const sampling = yield* samplingOf(engine, request, maxTokens)
  const { abort, id, signal } = yield* openRequest(requests)
  const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
  const shape = shapeOf(id, served.modelId, Math.floor(now / millisPerSecond))
  const layout = { answers: prompts.length * sampling.choices, perPrompt: sampling.choices }
  const pieces = yield* engine
    .generate(prompts, sampling, signal)
    .pipe(Effect.tapError(() => requests.close(id)))
  const closing = Stream.ensuring(pieces, requests.close(id))
  if (request.stream !== true) {
    return HttpServerResponse.jsonUnsafe(yield* answered(shape, closing, layout))
  }
  const frames = streamed(shape, closing, layout, request.stream_options?.include_usage === true)
  const answer = kept === undefined ? frames : yield* replays.start(kept, frames, abort)
  return HttpServerResponse.stream(answer, eventStream)
})

/** Responds with the kept answer to the request that the path names, or with 404. */
const withKeptAnswer = (
  { replays }: RouteServices,
  respond: (answer: Stream.Stream<Uint8Array>, id: string) => HttpServerResponse.HttpServerResponse
) =>
  Effect.gen(function* () {
    const { id = "" } = yield* HttpRouter.params
    const answer = yield* replays.find(id)
    return answer === undefined ? unknownRequest(id) : respond(answer, id)
  })

/** `GET /v1/requests/{id}`: whether the answer to a request is kept. */
export const keptRoute = (services: RouteServices) =>
  withKeptAnswer(services, (_answer, id) => HttpServerResponse.jsonUnsafe({ id, status: "kept" }))

/** `GET /v1/requests/{id}/stream`: the answer to a request that its client asked to keep, from its beginning. */
export const replayRoute = (services: RouteServices) =>
  withKeptAnswer(services, (answer) => HttpServerResponse.stream(answer, eventStream))

/** `POST /v1/completions`. */
export const completionRoute = (services: RouteServices) =>
  withEngine(services.served, (engine) =>
    Effect.gen(function* () {
      const request = yield* readCompletion
      const prompts = yield* completionPrompts(engine, request)
      const maxTokens = request.max_tokens ?? defaultCompletionTokens
      return yield* generate(services, engine, { request, prompts, maxTokens, shapeOf: completionShape })
    })
  )

const checkLogprobs = ({ logprobs, top_logprobs }: ChatRequest) =>
  (top_logprobs ?? 0) > 0 && logprobs !== true
    ? Effect.fail(
        new BadRequest({
          reason: "'top_logprobs' requires 'logprobs' to be true",
          param: "top_logprobs",
          code: "invalid_value"
        })
      )
    : Effect.void

/** `POST /v1/chat/completions`. */
export const chatRoute = (services: RouteServices) =>
  withEngine(services.served, (engine) =>
    Effect.gen(function* () {
      const request = yield* readChat
      yield* checkLogprobs(request)
      const prompts = [yield* chatPrompt(engine, request)]
      const maxTokens = request.max_completion_tokens ?? request.max_tokens
      return yield* generate(services, engine, { request, prompts, maxTokens, shapeOf: chatShape })
    })
  )
