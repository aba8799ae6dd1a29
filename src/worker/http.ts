import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import { embeddingRoute } from "./embeddingRoute.ts"
import { chatRoute, completionRoute, keptRoute, replayRoute } from "./generationRoutes.ts"
import { errorResponse, notFound, openAiError, unknownRequest } from "./httpErrors.ts"
import { Replays } from "./Replays.ts"
import { Requests } from "./Requests.ts"
import { Served } from "./Served.ts"

const healthRoute = ({ engine: loaded, modelId }: Served["Service"]) =>
  Effect.sync(() => {
    const engine = loaded()
    return engine === undefined
      ? HttpServerResponse.jsonUnsafe({ status: "loading", model: modelId }, { status: 503 })
      : HttpServerResponse.jsonUnsafe({
          status: "ok",
          model: modelId,
          slots: engine.slots,
          busy: engine.busy(),
          context_length: engine.contextSize
        })
  })

const modelsRoute = ({ modelId }: Served["Service"]) =>
  Effect.sync(() =>
    HttpServerResponse.jsonUnsafe({
      object: "list",
      data: [{ id: modelId, object: "model", created: 0, owned_by: "rbee" }]
    })
  )

const cancelRoute = (requests: Requests["Service"]) =>
  Effect.gen(function* () {
    const { id = "" } = yield* HttpRouter.params
    return (yield* requests.cancel(id))
      ? HttpServerResponse.jsonUnsafe({ id, status: "cancelled" })
      : unknownRequest(id)
  })

/** The worker's routes: OpenAI's API, `/health`, and those of single requests below `/v1/requests/{id}`. */
export const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const services = { served: yield* Served, requests: yield* Requests, replays: yield* Replays }
    const withErrors = Effect.catch(errorResponse)
    yield* router.add("GET", "/health", healthRoute(services.served))
    yield* router.add("GET", "/v1/models", modelsRoute(services.served))
    yield* router.add("POST", "/v1/completions", withErrors(completionRoute(services)))
    yield* router.add("POST", "/v1/chat/completions", withErrors(chatRoute(services)))
    yield* router.add("POST", "/v1/embeddings", withErrors(embeddingRoute(services)))
    yield* router.add("GET", "/v1/requests/:id", keptRoute(services))
    yield* router.add("GET", "/v1/requests/:id/stream", replayRoute(services))
    yield* router.add("DELETE", "/v1/requests/:id", cancelRoute(services.requests))
    yield* router.add("*", "/*", Effect.succeed(notFound("Not found")))
  })
)

const loopbackHost = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?$/i

/** Responds with 403 to a request with an `Origin` or a non-loopback `Host`, so that web pages cannot use the worker. */
export const onlyLocal = HttpRouter.middleware(
  (effect) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
      headers["origin"] === undefined && loopbackHost.test(headers["host"] ?? "")
        ? effect
        : Effect.succeed(
            openAiError(403, "Workers accept local requests only", "invalid_request_error", "forbidden")
          )
    ),
  { global: true }
)

/** The worker's HTTP application. */
export const app = Layer.merge(routes, onlyLocal)
