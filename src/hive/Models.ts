import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import type { Gguf } from "./Gguf.ts"
import { partsOf } from "./download/Quantisation.ts"
import { readManifest } from "./download/ModelManifest.ts"
import * as FileCache from "./FileCache.ts"
import { GgufError } from "./GgufFile.ts"
import { readWhole } from "./GgufParts.ts"
import { findModelFiles, type ModelFile } from "./ModelFolder.ts"
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
  memory_bytes: Schema.Finite,
  /** Where it was downloaded from, when, and what its first file's checksum was. */
  from: Schema.optionalKey(Schema.String),
  downloaded_at: Schema.optionalKey(Schema.String),
  sha256: Schema.optionalKey(Schema.String)
}) {}

/** The id has a known form, and no such model is on this hive. */
export class ModelNotFound extends Schema.TaggedError<ModelNotFound>()(
  "ModelNotFound",
  { id: Schema.String, folder: Schema.String },
  { httpApiStatus: 404 }
) {
  override get message() {
    return (
      `Model '${this.id}' is not on this hive; 'rbee model download ID' brings one (hf:org/repo, ollama:name, ` +
      `https://…), or put a GGUF file into ${this.folder}, name one as file:/path/to/model.gguf, or use rbee:tiny`
    )
  }
}

/** A model that is not rbee's to remove. */
export class ModelNotRemovable extends Schema.TaggedError<ModelNotRemovable>()("ModelNotRemovable", {
  id: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Model '${this.id}' is not removed: ${this.reason}`
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
    /** The same, with their headers. */
    readonly all: Effect.Effect<ReadonlyArray<ModelDetails>>
    readonly get: (id: string) => Effect.Effect<ModelRecord, LookupError | GgufError>
    /** As `get`, with the header, from which the memory for any context length follows. */
    readonly describe: (id: string) => Effect.Effect<ModelDetails, LookupError | GgufError>
    /** The model's file, without looking into it. */
    readonly resolve: (id: string) => Effect.Effect<ModelLocation, LookupError>
    /** Removes the model's files; of one that was adopted where it lies only the entry. Gives the bytes that are free. */
    readonly remove: (id: string) => Effect.Effect<number, LookupError | ModelNotRemovable>
  }
>()("rbee/hive/Models") {
  /** `folder` holds the models that were put there or downloaded; it need not exist. */
  static readonly layerNoDeps = (folder: string) => Layer.effect(Models, make(folder))
}

const record = ({ id, origin, path }: ModelFile, gguf: Gguf) => {
  const sha256 = origin?.manifest.files[0]?.sha256
  return new ModelRecord({
    id,
    path,
    size_bytes: gguf.sizeBytes,
    architecture: gguf.architecture,
    parameters: gguf.parameters,
    context_length: gguf.contextLength,
    quantisation: gguf.quantisation,
    chat_template: gguf.chatTemplate,
    memory_bytes: gguf.memoryBytes(Math.min(gguf.contextLength, listedContext)),
    ...(origin === undefined ? {} : { from: origin.manifest.from, downloaded_at: origin.manifest.at }),
    ...(typeof sha256 === "string" ? { sha256 } : {})
  })
}

// A later part is met whenever a split model is listed, and is nothing to worry about.
const note = (error: GgufError) =>
  error.kind === "later_part"
    ? Effect.void
    : Effect.logWarning("file is no usable model", { reason: error.message })

const readHeader = (path: string) => Effect.tapError(readWhole(path), note)

const gone = (path: string) => new GgufError({ path, kind: "unreadable", reason: "it is not there" })

/** Whether the file is what the id names: by one of its ids, or as the only one that came from a repository. */
const isMeant = (id: ModelId.ModelId, file: ModelFile) => {
  const wanted = ModelId.format(id).toLowerCase()
  return [file.id, ...(file.origin?.manifest.ids ?? [])].some((known) => known.toLowerCase() === wanted)
}

const isFromRepository = (id: ModelId.ModelId, file: ModelFile) =>
  id._tag === "HuggingFace" &&
  id.variant === undefined &&
  (file.origin?.manifest.ids ?? []).some((known) =>
    known.toLowerCase().startsWith(`${ModelId.format(id).toLowerCase()}:`)
  )

const make = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const header = yield* FileCache.make(readHeader, gone)
  const manifests = yield* FileCache.make(readManifest, () => undefined)
  const files = findModelFiles(folder, (file) =>
    Effect.orElseSucceed(manifests(file), () => Option.none())
  ).pipe(Effect.provideContext(context))
  const tiny = tinyModelPath.pipe(
    Effect.map(Option.map((path): ModelFile => ({ id: "rbee:tiny", path }))),
    Effect.provideContext(context)
  )

  const search = Effect.fnUntraced(function* (id: ModelId.ModelId) {
    if (id._tag === "Bundled") return yield* tiny
    if (id._tag === "File") {
      return Option.some<ModelFile>({ id: ModelId.format(id), path: id.path })
    }
    const all = yield* files
    const found = all.find((file) => isMeant(id, file))
    if (found !== undefined) return Option.some(found)
    const [only, ...others] = all.filter((file) => isFromRepository(id, file))
    return others.length === 0 ? Option.fromUndefinedOr(only) : Option.none()
  })
  const locate = Effect.fnUntraced(function* (id: string) {
    const parsed = yield* Effect.fromResult(ModelId.parse(id))
    const found = yield* search(parsed)
    if (Option.isNone(found) || !(yield* Effect.orElseSucceed(fs.exists(found.value.path), () => false))) {
      return yield* new ModelNotFound({ id: ModelId.format(parsed), folder })
    }
    return found.value
  })

  const removeFile = (file: string) =>
    Effect.gen(function* () {
      const { size } = yield* fs.stat(file)
      yield* fs.remove(file)
      return Number(size)
    }).pipe(Effect.orElseSucceed(() => 0))

  const remove = Effect.fn("Models.remove")(function* (id: string) {
    const model = yield* locate(id)
    if (model.id === "rbee:tiny") {
      return yield* new ModelNotRemovable({ id: model.id, reason: "it ships with rbee" })
    }
    const listed = (yield* files).find(({ path }) => path === model.path)
    if (listed === undefined) {
      const reason = `it is not in ${folder}; remove ${model.path} by hand`
      return yield* new ModelNotRemovable({ id: model.id, reason })
    }
    const { origin } = listed
    // The manifest goes last, so that a removal that was cut off can be repeated.
    const own = origin?.manifest.path === undefined ? partsOf(listed.path) : []
    const freed = yield* Effect.forEach(own, removeFile)
    if (origin !== undefined) yield* removeFile(origin.file)
    for (
      let parent = path.dirname(origin?.file ?? listed.path);
      parent.startsWith(`${folder}${path.sep}`);
      parent = path.dirname(parent)
    ) {
      const left = yield* Effect.orElseSucceed(fs.readDirectory(parent), () => [""])
      if (left.length > 0) break
      yield* Effect.ignore(fs.remove(parent, { recursive: true }))
    }
    return freed.reduce((sum, bytes) => sum + bytes, 0)
  })

  const describe = Effect.fn("Models.describe")(function* (id: string) {
    const location = yield* locate(id)
    const gguf = yield* header(location.path)
    return { record: record(location, gguf), gguf }
  })

  const all = Effect.gen(function* () {
    const known = [...Option.toArray(yield* tiny), ...(yield* files)]
    const details = yield* Effect.forEach(
      known,
      (location) =>
        Effect.option(
          Effect.map(header(location.path), (gguf) => ({ record: record(location, gguf), gguf }))
        ),
      { concurrency: readAtOnce }
    )
    return details.flatMap(Option.toArray)
  }).pipe(Effect.withSpan("Models.all"))

  return Models.of({
    all,
    list: Effect.map(all, (details) => details.map(({ record }) => record)),
    describe,
    get: Effect.fn("Models.get")(function* (id: string) {
      return (yield* describe(id)).record
    }),
    resolve: Effect.fn("Models.resolve")(function* (id: string) {
      const { id: known, path } = yield* locate(id)
      return { id: known, path }
    }),
    remove
  })
})
