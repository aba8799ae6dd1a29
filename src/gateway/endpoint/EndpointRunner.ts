import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import { Caller } from "../../daemon/Caller.ts"
import { addFinalizer } from "../../http/scopeFinalizers.ts"
import { InternalError } from "../../job/errors.ts"
import { Settings } from "../../settings/Settings.ts"
import { KeyLimits } from "../keys/KeyLimits.ts"
import { permittedModel } from "../keys/modelAccess.ts"
import { TokenMeter } from "../keys/TokenMeter.ts"
import { ModelFinder } from "../upstream/ModelFinder.ts"
import { Unloader } from "../upstream/Unloader.ts"
import type { ServedModel } from "../upstream/Upstream.ts"
import type { Endpoint, EndpointRequest } from "./Endpoint.ts"
import { assemble } from "./EngineAnswer.ts"
import { errorResponse } from "./errorResponses.ts"
import { withModelDefaults } from "./modelDefaults.ts"
import { requestBody } from "./requestBody.ts"
import { RequestJobs } from "./RequestJobs.ts"
import { respond } from "./respond.ts"
import { waitLimit } from "./waitLimit.ts"

/** Answers the requests at endpoints whose responses come from an engine. */
export class EndpointRunner extends Context.Service<
  EndpointRunner,
  {
    /**
     * The response to a request at the endpoint; an error is a response in the format of its API. The request runs as a job,
     * which is cancelled when its client disconnects.
     */
    readonly answer: (
      endpoint: Endpoint
    ) => Effect.Effect<
      HttpServerResponse.HttpServerResponse,
      never,
      Caller | HttpServerRequest.HttpServerRequest | Scope.Scope
    >
  }
>()("rbee/gateway/endpoint/EndpointRunner") {
  static readonly layerNoDeps = Layer.effect(
    EndpointRunner,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(RequestJobs.layerNoDeps))
}

/** The text of the prompt; that of a conversation is its JSON. */
const promptOf = ({ body: { input, messages, prompt } }: EndpointRequest) =>
  typeof prompt === "string" ? prompt : JSON.stringify(messages ?? prompt ?? input ?? "")

const make = Effect.gen(function* () {
  const jobs = yield* RequestJobs
  const finder = yield* ModelFinder
  const keyLimits = yield* KeyLimits
  const settings = yield* Settings
  const clock = yield* Clock.Clock
  const unloader = yield* Unloader

  /** The response to a request that stops the workers of its model instead of generating an answer. */
  const unload = Effect.fnUntraced(function* ({ model: name, reply }: EndpointRequest, model: ServedModel) {
    const askedAt = clock.currentTimeMillisUnsafe()
    yield* unloader.unload(model)
    if (reply._tag !== "Complete") return yield* new InternalError({ job: "unload" })
    const context = {
      jobId: "",
      model: name,
      askedAt,
      now: () => clock.currentTimeMillisUnsafe(),
      placement: () => undefined
    }
    return HttpServerResponse.jsonUnsafe(reply.toJson(assemble([]), context))
  })

  const run = Effect.fnUntraced(function* (endpoint: Endpoint) {
    const waitMs = yield* waitLimit(yield* HttpServerRequest.HttpServerRequest)
    const body = yield* requestBody(settings)
    const requested = yield* Effect.fromResult(endpoint.read(body))
    const { key } = yield* Caller
    const model = yield* permittedModel(key, requested.model, finder.find(requested.model))
    const request = withModelDefaults(requested, model)
    const prompt = promptOf(request)
    const meter = new TokenMeter(prompt, key?.tokens_per_minute !== undefined)
    if (key !== undefined) {
      const tokens = requested.unload === "instead" ? 0 : meter.estimate(request)
      yield* keyLimits.enter(key, tokens, () => meter.tokens)
    }
    if (requested.unload === "instead") return yield* unload(requested, model)
    if (requested.unload === "after") yield* addFinalizer(() => unloader.inBackground(model))
    const job = yield* jobs.start({ request, model, prompt, key, waitMs })
    return yield* respond(job, endpoint, request, meter)
  })

  return EndpointRunner.of({
    answer: (endpoint) =>
      run(endpoint).pipe(
        Pull.catchDone(() => Effect.fail(new InternalError({ job: "complete" }))),
        Effect.catch((error) => Effect.succeed(errorResponse(endpoint.format, error)))
      )
  })
})
