import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import type { Gguf } from "./Gguf.ts"
import type { GgufError } from "./GgufFile.ts"
import * as GgufCache from "./GgufCache.ts"
import { findModelFiles } from "./ModelFolder.ts"
import * as ModelId from "./ModelId.ts"
import { tinyModelPath } from "./TinyModel.ts"

/** A model on this hive, as `model_list` and `model_get` answer it. Sizes in bytes. */
export class ModelRecord extends Schema.Class<ModelRecord>("ModelRecord")({
  id: Schema.String,
  path: Schema.optionalKey(Schema.String),
  size_bytes: Schema.Finite,
  architecture: Schema.String,
  parameters: Schema.Finite,
  context_length: Schema.Int,
  quantisation: Schema.String,
  chat_template: Schema.Boolean,
  /** What a worker needs at the model's context length, or at 4,096 tokens if that is longer. */
  memory_bytes: Schema.Finite
}) {}

/** The id has a known form, and no such model is on this hive. */
export class ModelNotFound extends Schema.TaggedError<ModelNotFound>()(
  "ModelNotFound",
  { id: Schema.String, folder: Schema.String },
  { httpApiStatus: 404 }
) {
  override get message() {
    return (
      `Model '${this.id}' is not on this hive; put a GGUF file into ${this.folder}, name one as ` +
      "file:/path/to/model.gguf, or use rbee:tiny (downloads: rbee model download, not in this version)"
    )
  }
}

/** Where a model lies, and under which id it is known: the one spelling of what was asked. */
export interface ModelLocation {
  readonly id: string
  readonly path: string
}

/** A model's record with everything that its header says. */
export interface ModelDetails {
  readonly record: ModelRecord
  readonly gguf: Gguf
}

const listedContext = 4096
const readAtOnce = 8

type LookupError = ModelNotFound | ModelId.InvalidModelId

/**
 * The models of this hive: the one that ships with rbee, the files of the models folder, and any file by its
 * path.
 */
export class Models extends Context.Service<
  Models,
  {
    /**
     * All of them, the shipped one first. A file that is no usable model is left out with a note in the log.
     */
    readonly list: Effect.Effect<ReadonlyArray<ModelRecord>>
    readonly get: (id: string) => Effect.Effect<ModelRecord, LookupError | GgufError>
    /** As `get`, with the header, from which the memory for any context length follows. */
    readonly describe: (id: string) => Effect.Effect<ModelDetails, LookupError | GgufError>
    /** The model's file, without looking into it. */
    readonly resolve: (id: string) => Effect.Effect<ModelLocation, LookupError>
  }
>()("rbee/hive/Models") {
  /** `folder` holds the models that were put there or downloaded; it need not exist. */
  static readonly layerNoDeps = (folder: string) => Layer.effect(Models, make(folder))
}

const record = ({ id, path }: ModelLocation, gguf: Gguf) =>
  new ModelRecord({
    id,
    path,
    size_bytes: gguf.sizeBytes,
    architecture: gguf.architecture,
    parameters: gguf.parameters,
    context_length: gguf.contextLength,
    quantisation: gguf.quantisation,
    chat_template: gguf.chatTemplate,
    memory_bytes: gguf.memoryBytes(Math.min(gguf.contextLength, listedContext))
  })

const make = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const header = yield* GgufCache.make
  const files = Effect.provideContext(findModelFiles(folder), context)
  const tiny = tinyModelPath.pipe(
    Effect.map(Option.map((path): ModelLocation => ({ id: "rbee:tiny", path }))),
    Effect.provideContext(context)
  )

  const search = (id: ModelId.ModelId) => {
    if (id._tag === "Bundled") return tiny
    const wanted = ModelId.format(id)
    return id._tag === "File"
      ? Effect.succeedSome<ModelLocation>({ id: wanted, path: id.path })
      : Effect.map(files, (all) => Option.fromUndefinedOr(all.find((file) => file.id === wanted)))
  }
  const locate = Effect.fnUntraced(function* (id: string) {
    const parsed = yield* Effect.fromResult(ModelId.parse(id))
    const found = yield* search(parsed)
    if (Option.isNone(found) || !(yield* Effect.orElseSucceed(fs.exists(found.value.path), () => false))) {
      return yield* new ModelNotFound({ id: ModelId.format(parsed), folder })
    }
    return found.value
  })
  const describe = Effect.fn("Models.describe")(function* (id: string) {
    const location = yield* locate(id)
    const gguf = yield* header(location.path)
    return { record: record(location, gguf), gguf }
  })

  return Models.of({
    list: Effect.gen(function* () {
      const all = [...Option.toArray(yield* tiny), ...(yield* files)]
      const records = yield* Effect.forEach(
        all,
        (location) => Effect.option(Effect.map(header(location.path), (gguf) => record(location, gguf))),
        { concurrency: readAtOnce }
      )
      return records.flatMap(Option.toArray)
    }).pipe(Effect.withSpan("Models.list")),
    describe,
    get: Effect.fn("Models.get")(function* (id: string) {
      return (yield* describe(id)).record
    }),
    resolve: Effect.fn("Models.resolve")(locate)
  })
})
