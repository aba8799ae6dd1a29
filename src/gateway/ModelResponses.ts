import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import { Caller } from "../daemon/Caller.ts"
import { anthropicFormat } from "./anthropic/format.ts"
import { anthropicModel, anthropicModels } from "./anthropic/models.ts"
import { errorResponse } from "./endpoint/errorResponses.ts"
import { mayUse, permittedModel } from "./keys/modelAccess.ts"
import { openAiFormat } from "./openai/format.ts"
import { openAiModel, openAiModels } from "./openai/models.ts"
import { Upstream } from "./upstream/Upstream.ts"

/** The request headers that select the format of the models. */
export interface ModelHeaders {
  readonly "anthropic-version"?: string | undefined
}

const openAi = { model: openAiModel, models: openAiModels, errors: openAiFormat }
const anthropic = { model: anthropicModel, models: anthropicModels, errors: anthropicFormat }

const formatOf = (headers: ModelHeaders) => (headers["anthropic-version"] === undefined ? openAi : anthropic)

/**
 * The responses of `/v1/models`: in Anthropic's format for requests with the header `anthropic-version`, otherwise in OpenAI's.
 *
 * @effect-expect-leaking Caller
 */
export class ModelResponses extends Context.Service<
  ModelResponses,
  {
    /** The models that the sender may use. */
    readonly all: (
      headers: ModelHeaders
    ) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Caller>
    /** The model of this name, or the error that it is unknown or not allowed. */
    readonly one: (
      headers: ModelHeaders,
      name: string
    ) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Caller>
  }
>()("rbee/gateway/ModelResponses") {
  static readonly layerNoDeps = Layer.effect(
    ModelResponses,
    Effect.gen(function* () {
      const upstream = yield* Upstream
      return ModelResponses.of({
        all: Effect.fnUntraced(function* (headers) {
          const { key } = yield* Caller
          const models = yield* upstream.models
          const visible = models.filter((model) => mayUse(key, model))
          return HttpServerResponse.jsonUnsafe(formatOf(headers).models(visible))
        }),
        one: Effect.fnUntraced(function* (headers, name) {
          const { key } = yield* Caller
          const { errors, model } = formatOf(headers)
          return yield* Effect.match(permittedModel(key, name, upstream.find(name)), {
            onSuccess: (found) => HttpServerResponse.jsonUnsafe(model(found)),
            onFailure: (error) => errorResponse(errors, error)
          })
        })
      })
    })
  )
}
