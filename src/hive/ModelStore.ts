import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type { Say, TellProgress } from "../job/narrated.ts"
import { type DownloadFailure, Downloads } from "./download/Downloads.ts"
import { ModelInUse } from "./errors.ts"
import type { GgufError } from "./GgufFile.ts"
import * as ModelId from "./ModelId.ts"
import type { ModelNotDeleted } from "./ModelRemoval.ts"
import { type ModelNotFound, type ModelNotRemovable, type ModelRecord, Models } from "./Models.ts"
import { Workers } from "./Workers.ts"

/** Brings models to this hive and removes them. */
export class ModelStore extends Context.Service<
  ModelStore,
  {
    readonly download: (
      id: string,
      say: Say,
      tell: TellProgress
    ) => Effect.Effect<ModelRecord, DownloadFailure | GgufError | ModelNotFound>
    /** Refuses a model that a worker has loaded. Gives the bytes that are free now. */
    readonly remove: (
      id: string,
      say: Say
    ) => Effect.Effect<
      number,
      ModelId.InvalidModelId | ModelInUse | ModelNotDeleted | ModelNotFound | ModelNotRemovable
    >
  }
>()("rbee/hive/ModelStore") {
  static readonly layerNoDeps = Layer.effect(
    ModelStore,
    Effect.gen(function* () {
      const downloads = yield* Downloads
      const models = yield* Models
      const workers = yield* Workers

      const usersOf = Effect.fnUntraced(function* (path: string) {
        const loaded = yield* Effect.filter(yield* workers.list, ({ record }) =>
          models.resolve(record.model).pipe(
            Effect.map((location) => location.path === path),
            Effect.orElseSucceed(() => false)
          )
        )
        return loaded.map(({ record }) => record.id)
      })

      return ModelStore.of({
        download: Effect.fn("ModelStore.download")(function* (id, say, tell) {
          const parsed = yield* Effect.fromResult(ModelId.parse(id))
          // What ships with rbee or was put here by hand is here already.
          const isHere = parsed._tag === "Bundled" || parsed._tag === "Name"
          if (isHere && Result.isSuccess(yield* Effect.result(models.resolve(id)))) {
            yield* say("model_ready", `${ModelId.format(parsed)} is on this hive already`)
            return yield* models.get(id)
          }
          yield* downloads.run(id, say, tell)
          return yield* models.get(id)
        }),
        remove: Effect.fn("ModelStore.remove")(function* (id, say) {
          const parsed = yield* Effect.fromResult(ModelId.parse(id))
          const located = yield* Effect.result(models.resolve(id))
          if (Result.isFailure(located)) {
            if (!(yield* downloads.discard(parsed))) return yield* located.failure
            yield* say("model_delete", `Removed what had come of ${ModelId.format(parsed)}`)
            return 0
          }
          const inUse = yield* usersOf(located.success.path)
          if (inUse.length > 0) return yield* new ModelInUse({ model: located.success.id, workers: inUse })
          const freed = yield* models.remove(id)
          const what = freed === 0 ? "its entry; the file stays where it is" : "its files"
          yield* say("model_delete", `Removed ${located.success.id}: ${what}`)
          return freed
        })
      })
    })
  )
}
