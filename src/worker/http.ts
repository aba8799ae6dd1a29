import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Token } from "node-llama-cpp"
import { answered, chatShape, completionShape, type Shape, streamed } from "./Answer.ts"
import type { Engine } from "./Engine.ts"
import { BadRequest, ModelNotServed } from "./errors.ts"
import { errorResponse, openAiError } from "./httpErrors.ts"
import { chatPrompt, completionPrompts, inputsOf } from "./prompts.ts"
import { readChat, readCompletion, readEmbedding } from "./RequestBody.ts"
import { Requests } from "./Requests.ts"
import { samplingOf } from "./samplingOf.ts"
import type { ChatRequest, CompletionRequest } from "./Wire.ts"

/** What the process serves: the model's public id, and the engine once it is loaded. */
export class Served extends Context.Service<
  Served,
  {
    readonly modelId: string
    readonly engine: () => Engine["Service"] | undefined
  }
>()("rbee/worker/http/Served") {}

const completionTokens = 16
const seconds = 1000

const loading = openAiError(503, "The model is still loading", "server_error", "loading")

const eventStream = { contentType: "text/event-stream", headers: { "cache-control": "no-cache" } }

/** The worker's routes: OpenAI's, `/health`, and `DELETE /v1/requests/{id}`. */
export const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const served = yield* Served
    const requests = yield* Requests

    const checkModel = (model: string | null | undefined) =>
      model === undefined || model === null || model === served.modelId
        ? Effect.void
        : Effect.fail(new ModelNotServed({ model, served: served.modelId }))

    const withEngine = <E, R>(
      use: (engine: Engine["Service"]) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
    ) =>
      Effect.suspend(() => {
        const engine = served.engine()
        return engine === undefined ? Effect.succeed(loading) : use(engine)
      })

    const openRequest = Effect.gen(function* () {
      const { headers } = yield* HttpServerRequest.HttpServerRequest
      return yield* requests.open(headers["x-request-id"])
    })

    const generate = Effect.fnUntraced(function* (
      engine: Engine["Service"],
      prompts: ReadonlyArray<ReadonlyArray<Token>>,
      request: CompletionRequest | ChatRequest,
      maxTokens: number | null | undefined,
      shapeOf: (id: string, model: string, created: number) => Shape
    ) {
      yield* checkModel(request.model)
      const sampling = yield* samplingOf(engine, request, maxTokens)
      const { id, signal } = yield* openRequest
      const created = Math.floor((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) / seconds)
      const shape = shapeOf(id, served.modelId, created)
      const layout = { answers: prompts.length * sampling.choices, perPrompt: sampling.choices }
      const pieces = yield* engine
        .generate(prompts, sampling, signal)
        .pipe(Effect.tapError(() => requests.close(id)))
      const closing = Stream.ensuring(pieces, requests.close(id))
      if (request.stream !== true) {
        return HttpServerResponse.jsonUnsafe(yield* answered(shape, closing, layout))
      }
      const includeUsage = request.stream_options?.include_usage === true
      return HttpServerResponse.stream(streamed(shape, closing, layout, includeUsage), eventStream)
    })

    const completions = withEngine((engine) =>
      Effect.gen(function* () {
        const request = yield* readCompletion
        const prompts = yield* completionPrompts(engine, request)
        return yield* generate(
          engine,
          prompts,
          request,
          request.max_tokens ?? completionTokens,
          completionShape
        )
      })
    )

    const chat = withEngine((engine) =>
      Effect.gen(function* () {
        const request = yield* readChat
        if ((request.top_logprobs ?? 0) > 0 && request.logprobs !== true) {
          return yield* new BadRequest({
            reason: "'top_logprobs' needs 'logprobs' to be true",
            param: "top_logprobs",
            code: "invalid_value"
          })
        }
        const prompt = yield* chatPrompt(engine, request)
        const maxTokens = request.max_completion_tokens ?? request.max_tokens
        return yield* generate(engine, [prompt], request, maxTokens, chatShape)
      })
    )

    const embeddings = withEngine((engine) =>
      Effect.gen(function* () {
        const request = yield* readEmbedding
        yield* checkModel(request.model)
        const { id, signal } = yield* openRequest
        const options = {
          dimensions: request.dimensions ?? undefined,
          truncate: request.truncate === true
        }
        const { tokens, vectors } = yield* engine
          .embed(inputsOf(request.input), options, signal)
          .pipe(Effect.ensuring(requests.close(id)))
        const encode = (vector: ReadonlyArray<number>) =>
          request.encoding_format === "base64"
            ? Buffer.from(Float32Array.from(vector).buffer).toString("base64")
            : vector
        return HttpServerResponse.jsonUnsafe({
          object: "list",
          model: served.modelId,
          data: vectors.map((vector, index) => ({ object: "embedding", index, embedding: encode(vector) })),
          usage: { prompt_tokens: tokens, total_tokens: tokens }
        })
      })
    )

    const health = Effect.sync(() => {
      const engine = served.engine()
      return engine === undefined
        ? HttpServerResponse.jsonUnsafe({ status: "loading", model: served.modelId }, { status: 503 })
        : HttpServerResponse.jsonUnsafe({
            status: "ok",
            model: served.modelId,
            slots: engine.slots,
            busy: engine.busy(),
            context_length: engine.contextSize
          })
    })

    const models = Effect.sync(() => ({
      object: "list",
      data: [{ id: served.modelId, object: "model", created: 0, owned_by: "rbee" }]
    }))

    const cancel = Effect.gen(function* () {
      const { id = "" } = yield* HttpRouter.params
      const found = yield* requests.cancel(id)
      return found
        ? HttpServerResponse.jsonUnsafe({ id, status: "cancelled" })
        : openAiError(404, `No request '${id.slice(0, 128)}' runs here`, "invalid_request_error", "not_found")
    })

    const answering = Effect.catch(errorResponse)

    yield* router.add("GET", "/health", health)
    yield* router.add(
      "GET",
      "/v1/models",
      Effect.map(models, (list) => HttpServerResponse.jsonUnsafe(list))
    )
    yield* router.add("POST", "/v1/completions", answering(completions))
    yield* router.add("POST", "/v1/chat/completions", answering(chat))
    yield* router.add("POST", "/v1/embeddings", answering(embeddings))
    yield* router.add("DELETE", "/v1/requests/:id", cancel)
    yield* router.add(
      "*",
      "/*",
      Effect.succeed(openAiError(404, "There is no such path", "invalid_request_error", "not_found"))
    )
  })
)

const loopbackHost = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?$/i

/** Keeps web pages away: a request with an `Origin`, or for a host that is not this machine, gets 403. */
export const onlyLocal = HttpRouter.middleware(
  (effect) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
      headers["origin"] === undefined && loopbackHost.test(headers["host"] ?? "")
        ? effect
        : Effect.succeed(
            openAiError(403, "A worker serves its own machine only", "invalid_request_error", "forbidden")
          )
    ),
  { global: true }
)

/** All of it. */
export const app = Layer.merge(routes, onlyLocal)
