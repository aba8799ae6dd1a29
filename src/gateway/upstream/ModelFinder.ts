import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { JobFailed } from "../../job/errors.ts"
import { Settings } from "../../settings/Settings.ts"
import { OperationRunner, type SubmitError } from "./OperationRunner.ts"
import { type ModelUnknown, type ServedModel, Upstream } from "./Upstream.ts"

// A remote application must not make a hive read its local files, so only remote ids are downloaded.
const isRemote = (id: string) => /^(?:(?:hf|ollama):[^/]|https:\/\/|[\w-][\w.-]*\/[\w.-]+)/.test(id)

/** Finds the model that a request names; downloads it if it is missing and `scheduler.download` is set. */
export class ModelFinder extends Context.Service<
  ModelFinder,
  {
    readonly find: (name: string) => Effect.Effect<ServedModel, ModelUnknown | JobFailed | SubmitError>
  }
>()("rbee/gateway/upstream/ModelFinder") {
  static readonly layerNoDeps = Layer.effect(
    ModelFinder,
    Effect.gen(function* () {
      const upstream = yield* Upstream
      const operations = yield* OperationRunner
      const { aliases, scheduler } = yield* Settings
      return ModelFinder.of({
        find: Effect.fnUntraced(function* (name) {
          const found = yield* Effect.option(upstream.find(name))
          if (Option.isSome(found)) return found.value
          const model = aliases[name]?.model ?? name
          if (scheduler.download && isRemote(model)) {
            yield* operations.run({ operation: "model_download", hive_id: "auto", model })
          }
          return yield* upstream.find(name)
        })
      })
    })
  )
}
