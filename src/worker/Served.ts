import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { Engine } from "./Engine.ts"
import { ModelNotServed } from "./errors.ts"
import { openAiError } from "./httpErrors.ts"

/** What the process serves: the model's public id, and the engine after the model is loaded. */
export class Served extends Context.Service<
  Served,
  {
    readonly modelId: string
    readonly engine: () => Engine["Service"] | undefined
  }
>()("rbee/worker/Served") {}

const loading = openAiError(503, "The model is still loading", "server_error", "loading")

/** Runs a handler with the engine; responds with 503 while the model is loading. */
export const withEngine = <E, R>(
  served: Served["Service"],
  handler: (engine: Engine["Service"]) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) =>
  Effect.suspend(() => {
    const engine = served.engine()
    return engine === undefined ? Effect.succeed(loading) : handler(engine)
  })

/** Fails if a request names another model. */
export const checkModel = (served: Served["Service"], model: string | null | undefined) =>
  model === undefined || model === null || model === served.modelId
    ? Effect.void
    : Effect.fail(new ModelNotServed({ model, served: served.modelId }))
