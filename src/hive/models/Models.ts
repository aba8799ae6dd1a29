import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CreatedModel, ModelDefinition } from "../../operation/CreatedModel.ts"
import { failureStatus } from "../../operation/failureStatus.ts"
import { findNamed } from "../../operation/modelNames.ts"
import type { Gguf } from "../gguf/Gguf.ts"
import { GgufError } from "../gguf/GgufFile.ts"
import { readWhole } from "../gguf/GgufParts.ts"
import { type ModelTraits, templateTraits } from "../gguf/GgufTraits.ts"
import { firstPartOf, partsOf } from "../gguf/splitFiles.ts"
import {
  checkDefinition,
  createdFolder,
  createdId,
  InvalidModelDefinition,
  loadCreated,
  type ModelNotCreated,
  type StoredDefinition,
  templateOf,
  writeCreated
} from "./CreatedModels.ts"
import * as FileCache from "./FileCache.ts"
import { findModelFiles, type ModelFile, type Skipped } from "./ModelFolder.ts"
import * as ModelId from "./ModelId.ts"
import { loadManifest } from "./ModelManifest.ts"
import { ModelIsSource, type ModelNotDeleted, removeModel } from "./ModelRemoval.ts"
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
  /** What a worker needs at the model's context length, or at 8,192 tokens if that is longer. */
  memory_bytes: Schema.Finite,
  /** Where it was downloaded from, when, and what its first file's checksum was. */
  from: Schema.optionalKey(Schema.String),
  downloaded_at: Schema.optionalKey(Schema.String),
  sha256: Schema.optionalKey(Schema.String),
  /** The model that it was made from, whose file it shares. */
  created_from: Schema.optionalKey(Schema.String)
}) {}

/** The id has a known form, and no such model is on this hive. */
export class ModelNotFound extends Schema.TaggedError<ModelNotFound>()(
  "ModelNotFound",
  { id: Schema.String, folder: Schema.String },
  { httpApiStatus: failureStatus.ModelNotFound }
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
  /** Those of the file, or of the chat template that takes the place of the file's. */
  readonly traits: ModelTraits
  /** Other ids that it is known by. */
  readonly also: ReadonlyArray<string>
  /** How it was made from another model; one that came with defaults is its own base. */
  readonly created?: CreatedModel | undefined
  /** What a worker loads for it: a model made from another has workers of its own only with a template. */
  readonly serves: { readonly id: string; readonly chatTemplate?: string }
}

/** What a look at the models folder found. */
export interface Survey {
  readonly models: ReadonlyArray<ModelDetails>
  readonly skipped: ReadonlyArray<Skipped>
}

const listedContext = 8192
const readAtOnce = 8

type LookupError = ModelNotFound | ModelId.InvalidModelId

/**
 * The models of this hive: the one that ships with rbee, the files of the models folder, and any file by its
 * path.
 */
export class Models extends Context.Service<
  Models,
  {
    /** All of them, the shipped one first, and the files that are not usable, which the log names too. */
    readonly survey: Effect.Effect<Survey>
    /** The usable models. */
    readonly list: Effect.Effect<ReadonlyArray<ModelRecord>>
    /** The same, with their headers. */
    readonly all: Effect.Effect<ReadonlyArray<ModelDetails>>
    readonly get: (id: string) => Effect.Effect<ModelRecord, LookupError | GgufError>
    /** As `get`, with the header, from which the memory for any context length follows. */
    readonly describe: (id: string) => Effect.Effect<ModelDetails, LookupError | GgufError>
    /** The model's file, without looking into it. */
    readonly resolve: (id: string) => Effect.Effect<ModelLocation, LookupError>
    /** Deletes the model's files; of one that was adopted only the entry. Gives the bytes that were freed. */
    readonly remove: (
      id: string
    ) => Effect.Effect<number, LookupError | ModelIsSource | ModelNotDeleted | ModelNotRemovable>
    /** Makes a model from another one, whose file it shares. */
    readonly create: (
      name: string,
      from: string,
      definition: ModelDefinition
    ) => Effect.Effect<ModelRecord, LookupError | GgufError | InvalidModelDefinition | ModelNotCreated>
    /** The model of this name, where it was made from another. */
    readonly findCreated: (name: string) => Effect.Effect<Option.Option<StoredDefinition>>
  }
>()("rbee/hive/models/Models") {
  /** `folder` holds the models that were put there or downloaded; it need not exist. */
  static readonly layerNoDeps = (folder: string) => Layer.effect(Models, make(folder))
}

/** The id under which workers have the model. */
const servedId = ({ created, id }: ModelFile) =>
  created === undefined || created.definition.template !== undefined ? id : created.source.id

const record = ({ created, id, origin = created?.source.origin, path }: ModelFile, gguf: Gguf) => {
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
    ...(typeof sha256 === "string" ? { sha256 } : {}),
    ...(created === undefined
      ? {}
      : {
          created_from: created.source.id,
          downloaded_at: created.definition.at,
          chat_template: gguf.chatTemplate || created.definition.template !== undefined
        })
  })
}

/** What a model adds to its file. */
const definitionOf = ({ created, id, origin }: ModelFile): CreatedModel | undefined => {
  if (created !== undefined) return { ...created.definition, from: created.source.id }
  const defaults = origin?.manifest.defaults
  return origin === undefined || defaults === undefined
    ? undefined
    : { from: id, at: origin.manifest.at, ...defaults }
}

const details = (file: ModelFile, gguf: Gguf): ModelDetails => {
  const { created } = file
  const own = created?.definition.template
  const definition = definitionOf(file)
  const template =
    created === undefined || own === undefined ? {} : { chatTemplate: templateOf(created.file) }
  return {
    record: record(file, gguf),
    gguf,
    traits: own === undefined ? gguf.traits : { ...gguf.traits, ...templateTraits(own) },
    also: namesOf(file).slice(1),
    ...(definition === undefined ? {} : { created: definition }),
    serves: { id: servedId(file), ...template }
  }
}

const missing = (path: string) => new GgufError({ path, kind: "unreadable", reason: "it does not exist" })

/** The names that a file is known by. */
const namesOf = ({ id, origin }: ModelFile) => [
  id,
  ...(origin?.manifest.ids ?? []).filter((other) => other !== id)
]

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
  const header = yield* FileCache.make({
    read: readWhole,
    missing,
    companions: (path) => partsOf(path).slice(1)
  })
  const manifests = yield* FileCache.make({
    read: (file) => Effect.mapError(loadManifest(file), () => undefined),
    missing: () => undefined
  })
  const tiny = tinyModelPath.pipe(
    Effect.map(Option.map((path): ModelFile => ({ id: "rbee:tiny", path }))),
    Effect.provideContext(context)
  )
  const definitions = yield* FileCache.make({
    read: (file) => Effect.mapError(loadCreated(file), () => undefined),
    missing: () => undefined
  })
  const folderContents = Effect.gen(function* () {
    const { created, files, skipped } = yield* findModelFiles(folder, (file) =>
      Effect.orElseSucceed(manifests(file), () => Option.none())
    )
    const sources = [...Option.toArray(yield* tiny), ...files]
    const ids = new Set(sources.map(({ id }) => id))
    const models = yield* Effect.forEach(created, (file) =>
      Effect.map(
        Effect.orElseSucceed(definitions(file), () => Option.none()),
        (definition) => ({ file, definition })
      )
    )
    const made: Array<ModelFile> = []
    for (const { definition, file } of models) {
      if (Option.isNone(definition)) {
        skipped.push({ path: file, reason: "it is not the definition of a model" })
        continue
      }
      const { from, id } = definition.value
      const source = sources.find((known) => namesOf(known).includes(from))
      if (source === undefined) {
        skipped.push({ path: file, reason: `the model '${from}', which it was made from, is missing` })
      } else if (ids.has(id)) skipped.push({ path: file, reason: `another model has the name '${id}'` })
      else {
        ids.add(id)
        made.push({ id, path: source.path, created: { definition: definition.value, file, source } })
      }
    }
    return { files: [...files, ...made], skipped }
  }).pipe(Effect.provideContext(context))
  const files = Effect.map(folderContents, ({ files }) => files)

  const search = Effect.fnUntraced(function* (asked: string) {
    const parsed = ModelId.parse(asked)
    if (Result.isSuccess(parsed)) {
      const id = parsed.success
      if (id._tag === "Bundled") return yield* tiny
      if (id._tag === "File") return Option.some<ModelFile>({ id: ModelId.format(id), path: id.path })
    }
    const all = [...Option.toArray(yield* tiny), ...(yield* files)]
    const named = findNamed(all, namesOf, asked)
    if (named !== undefined) return Option.some(named)
    const id = yield* Effect.fromResult(parsed)
    const found = findNamed(all, namesOf, ModelId.format(id))
    if (found !== undefined) return Option.some(found)
    const [only, ...others] = all.filter((file) => isFromRepository(id, file))
    return others.length === 0 ? Option.fromUndefinedOr(only) : Option.none()
  })
  const locate = Effect.fnUntraced(function* (id: string) {
    const found = yield* search(id)
    if (Option.isNone(found) || !(yield* Effect.orElseSucceed(fs.exists(found.value.path), () => false))) {
      const known = Result.map(ModelId.parse(id), ModelId.format)
      return yield* new ModelNotFound({ id: Result.getOrElse(known, () => id), folder })
    }
    return found.value
  })

  const remove = Effect.fn("Models.remove")(function* (id: string) {
    const model = yield* locate(id)
    if (model.id === "rbee:tiny") {
      return yield* new ModelNotRemovable({ id: model.id, reason: "it ships with rbee" })
    }
    const known = yield* files
    const listed = known.find(({ id, path }) => path === model.path && id === model.id)
    if (listed === undefined) {
      const reason = `it is not in ${folder}; remove ${model.path} manually`
      return yield* new ModelNotRemovable({ id: model.id, reason })
    }
    const made = known.filter(({ created }) => created?.source.path === listed.path).map(({ id }) => id)
    if (listed.created === undefined && made.length > 0) {
      return yield* new ModelIsSource({ id: listed.id, models: made })
    }
    return yield* Effect.provideContext(removeModel(folder, listed), context)
  })

  const create = Effect.fn("Models.create")(function* (name: string, from: string, changes: ModelDefinition) {
    const id = yield* createdId(name)
    const known = [...Option.toArray(yield* tiny), ...(yield* files)]
    const existing = findNamed(known, namesOf, id)
    if (existing !== undefined && existing.created === undefined) {
      return yield* new InvalidModelDefinition({
        id,
        reason: `'${existing.id}' is a model with a file of its own; choose another name`
      })
    }
    const source = yield* locate(from)
    const base = source.created?.source ?? source
    yield* header(base.path)
    const own = base.origin?.manifest.defaults
    const {
      at: _at,
      from: _from,
      id: _id,
      ...inherited
    } = source.created?.definition ?? {
      at: "",
      from,
      id,
      ...own
    }
    const parameters = { ...inherited.parameters, ...changes.parameters }
    const stored: StoredDefinition = {
      id,
      from: base.id,
      at: DateTime.formatIso(yield* DateTime.now),
      ...inherited,
      ...changes,
      ...(Object.keys(parameters).length === 0 ? {} : { parameters })
    }
    yield* checkDefinition(stored)
    const isInFolder = base.path.startsWith(`${folder}${path.sep}`)
    const target =
      existing?.created === undefined
        ? isInFolder
          ? path.dirname(base.path)
          : path.join(folder, createdFolder)
        : path.dirname(existing.created.file)
    yield* Effect.provideContext(writeCreated(target, stored), context)
    return (yield* describe(id)).record
  })

  const describe = Effect.fn("Models.describe")(function* (id: string) {
    const location = yield* locate(id)
    return details(location, yield* header(location.path))
  })

  /** What the log was told of last, so that it is told of each file once. */
  let logged: ReadonlyMap<string, string> = new Map()
  const log = Effect.fnUntraced(function* (skipped: ReadonlyArray<Skipped>) {
    const before = logged
    logged = new Map(skipped.map(({ path, reason }) => [path, reason]))
    for (const { path, reason } of skipped) {
      if (before.get(path) !== reason)
        yield* Effect.logWarning("file is not a usable model", { path, reason })
    }
  })

  const survey = Effect.gen(function* () {
    const found = yield* folderContents
    const known = [...Option.toArray(yield* tiny), ...found.files]
    const paths = new Set(known.map(({ path }) => path))
    const skipped = [...found.skipped]
    const usable = yield* Effect.forEach(
      known,
      (location) =>
        header(location.path).pipe(
          Effect.map((gguf): ModelDetails | undefined => details(location, gguf)),
          Effect.catch(({ kind, reason }) => {
            const first = kind === "later_part" ? firstPartOf(location.path) : undefined
            if (first === undefined || !paths.has(first)) {
              const why =
                first === undefined ? reason : `the first file of this split model is missing (${first})`
              skipped.push({ path: location.path, reason: why })
            }
            return Effect.undefined
          })
        ),
      { concurrency: readAtOnce }
    )
    yield* log(skipped)
    return { models: usable.filter((model) => model !== undefined), skipped }
  }).pipe(Effect.withSpan("Models.survey"))
  const all = Effect.map(survey, ({ models }) => models)

  return Models.of({
    survey,
    all,
    list: Effect.map(all, (details) => details.map(({ record }) => record)),
    describe,
    get: Effect.fn("Models.get")(function* (id: string) {
      return (yield* describe(id)).record
    }),
    resolve: Effect.fn("Models.resolve")(function* (id: string) {
      const file = yield* locate(id)
      return { id: servedId(file), path: file.path }
    }),
    remove,
    create,
    findCreated: (name) =>
      Effect.map(files, (known) => {
        const found = findNamed(known, namesOf, name)?.created
        return Option.map(Option.fromUndefinedOr(found), ({ definition }) => definition)
      })
  })
})
