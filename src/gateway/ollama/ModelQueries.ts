import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import { Caller } from "../../daemon/Caller.ts"
import { Settings } from "../../settings/Settings.ts"
import type { InvalidRequest } from "../endpoint/Endpoint.ts"
import { type BodyError, requestBody } from "../endpoint/requestBody.ts"
import { mayUse, type ModelForbidden, permittedModel } from "../keys/modelAccess.ts"
import { type ModelUnknown, Upstream } from "../upstream/Upstream.ts"
import { loaded, show, tags } from "./models.ts"
import { readNamed } from "./request.ts"

/**
 * The endpoints of Ollama that report models. They show a sender the models that it may use.
 *
 * @effect-expect-leaking Caller HttpServerRequest
 */
export class ModelQueries extends Context.Service<
  ModelQueries,
  {
    /** `GET /api/tags`: all models. */
    readonly tags: Effect.Effect<ReturnType<typeof tags>, never, Caller>
    /** `GET /api/ps`: the models that are loaded. */
    readonly loaded: Effect.Effect<ReturnType<typeof loaded>, never, Caller>
    /** `POST /api/show`: the model that the request names. */
    readonly show: Effect.Effect<
      ReturnType<typeof show>,
      BodyError | InvalidRequest | ModelForbidden | ModelUnknown,
      Caller | HttpServerRequest.HttpServerRequest
    >
  }
>()("rbee/gateway/ollama/ModelQueries") {
  static readonly layerNoDeps = Layer.effect(
    ModelQueries,
    Effect.gen(function* () {
      const upstream = yield* Upstream
      const settings = yield* Settings

      const visible = Effect.flatMap(Caller, ({ key }) =>
        Effect.map(upstream.models, (models) => models.filter((model) => mayUse(key, model)))
      )
      const requested = requestBody(settings).pipe(
        Effect.flatMap((body) => Effect.fromResult(readNamed(body))),
        Effect.flatMap(({ name }) =>
          Effect.flatMap(Caller, ({ key }) => permittedModel(key, name, upstream.find(name)))
        )
      )
      return ModelQueries.of({
        tags: Effect.map(visible, tags),
        loaded: Effect.flatMap(visible, (models) =>
          Effect.map(upstream.workers, (workers) => loaded(models, workers))
        ),
        show: Effect.map(requested, show)
      })
    })
  )
}
