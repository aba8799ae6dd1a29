import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Narrate, ReportProgress } from "../job/withNarration.ts"
import type { ModelDefinition } from "../operation/CreatedModel.ts"
import { type DownloadFailure, Downloads } from "./download/Downloads.ts"
import type { GgufError } from "./gguf/GgufFile.ts"
import type { InvalidModelDefinition, ModelNotCreated } from "./models/CreatedModels.ts"
import type { ModelNotFound, ModelNotRemovable } from "./models/modelErrors.ts"
import * as ModelId from "./models/ModelId.ts"
import type { ModelRecord } from "./models/ModelRecord.ts"
import type { ModelIsSource, ModelNotDeleted } from "./models/ModelRemoval.ts"
import { Models } from "./models/Models.ts"
import { Workers } from "./workers/Workers.ts"

/** The model cannot be removed or replaced, because workers have it loaded. */
export class ModelInUse extends Schema.TaggedError<ModelInUse>()("ModelInUse", {
  model: Schema.String,
  workers: Schema.Array(Schema.String)
}) {
  override get message() {
    const [worker = ""] = this.workers
    return (
      `Model '${this.model}' is loaded by ${this.workers.length === 1 ? "worker" : "workers"} ` +
      `${this.workers.map((id) => `'${id}'`).join(", ")}; 'rbee worker delete ${worker}' first`
    )
  }
}

/** Downloads, creates and removes models of this hive. */
export class ModelStore extends Context.Service<
  ModelStore,
  {
    readonly download: (
      id: string,
      narrate: Narrate,
      report: ReportProgress
    ) => Effect.Effect<ModelRecord, DownloadFailure | GgufError | ModelNotFound>
    /** Refuses a model that a worker has loaded. Returns the freed bytes. */
    readonly remove: (
      id: string,
      narrate: Narrate
    ) => Effect.Effect<
      number,
      | ModelId.InvalidModelId
      | ModelInUse
      | ModelIsSource
      | ModelNotDeleted
      | ModelNotFound
      | ModelNotRemovable
    >
    /** Creates a model from another. Refuses to replace a created model that a worker has loaded. */
    readonly create: (
      id: string,
      from: string,
      definition: ModelDefinition,
      narrate: Narrate
    ) => Effect.Effect<
      ModelRecord,
      | GgufError
      | InvalidModelDefinition
      | ModelId.InvalidModelId
      | ModelInUse
      | ModelNotCreated
      | ModelNotFound
    >
  }
>()("rbee/hive/ModelStore") {
  static readonly layerNoDeps = Layer.effect(
    ModelStore,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
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

  const workersWith = (model: string) =>
    Effect.map(workers.list, (list) =>
      list.filter(({ record }) => record.model === model).map(({ record }) => record.id)
    )

  return ModelStore.of({
    create: Effect.fn("ModelStore.create")(function* (id, from, definition, narrate) {
      const existing = yield* models.findCreated(id)
      if (Option.isSome(existing)) {
        const inUse = yield* workersWith(existing.value.id)
        if (inUse.length > 0) return yield* new ModelInUse({ model: existing.value.id, workers: inUse })
      }
      const record = yield* models.create(id, from, definition)
      yield* narrate("model_create", `Created ${record.id} from ${record.created_from ?? from}`)
      return record
    }),
    download: Effect.fn("ModelStore.download")(function* (id, narrate, report) {
      const parsed = yield* Effect.fromResult(ModelId.parse(id))
      // The bundled model and files that were added manually need no download.
      const isHere = parsed._tag === "Bundled" || parsed._tag === "Name"
      if (isHere && Result.isSuccess(yield* Effect.result(models.resolve(id)))) {
        yield* narrate("model_ready", `${ModelId.format(parsed)} is already on this hive`)
        return yield* models.get(id)
      }
      yield* downloads.run(id, narrate, report)
      return yield* models.get(id)
    }),
    remove: Effect.fn("ModelStore.remove")(function* (id, narrate) {
      const located = yield* Effect.result(models.resolve(id))
      if (Result.isFailure(located)) {
        const parsed = yield* Effect.fromResult(ModelId.parse(id))
        if (!(yield* downloads.discard(parsed))) return yield* located.failure
        yield* narrate("model_delete", `Removed the partial download of ${ModelId.format(parsed)}`)
        return 0
      }
      const created = yield* models.findCreated(id)
      const inUse = Option.isSome(created)
        ? yield* workersWith(created.value.id)
        : yield* usersOf(located.success.path)
      if (inUse.length > 0) return yield* new ModelInUse({ model: located.success.id, workers: inUse })
      const freed = yield* models.remove(id)
      if (Option.isSome(created)) {
        yield* narrate("model_delete", `Removed ${created.value.id}; its source model is kept`)
        return freed
      }
      const what = freed === 0 ? "its entry; the file is kept" : "its files"
      yield* narrate("model_delete", `Removed ${located.success.id}: ${what}`)
      return freed
    })
  })
})
