import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Result from "effect/Result"
import { findNamed } from "../../operation/modelNames.ts"
import type { Gguf } from "../gguf/Gguf.ts"
import { GgufError } from "../gguf/GgufFile.ts"
import { readModelHeader } from "../gguf/GgufParts.ts"
import { partsOf } from "../gguf/splitFiles.ts"
import { loadCreated, type StoredDefinition } from "./CreatedModels.ts"
import * as FileCache from "./FileCache.ts"
import { type LookupError, ModelNotFound } from "./modelErrors.ts"
import { findModelFiles, type ModelFile, type Skipped } from "./ModelFolder.ts"
import * as ModelId from "./ModelId.ts"
import { loadManifest } from "./ModelManifest.ts"
import { namesOf } from "./ModelRecord.ts"
import { tinyModelPath } from "./TinyModel.ts"

/** The models of a folder and the bundled one, by their names. */
export interface ModelIndex {
  readonly folder: string
  /** The models of the folder, and its files that are not models. */
  readonly contents: Effect.Effect<{
    readonly files: ReadonlyArray<ModelFile>
    readonly skipped: ReadonlyArray<Skipped>
  }>
  /** The bundled model, if it is installed. */
  readonly bundled: Effect.Effect<Option.Option<ModelFile>>
  /** Finds a model by one of its ids, its name or its path. */
  readonly locate: (id: string) => Effect.Effect<ModelFile, LookupError>
  /** The GGUF header of a file, read again only when the file changes. */
  readonly header: (path: string) => Effect.Effect<Gguf, GgufError>
}

interface DefinitionFile {
  readonly file: string
  readonly definition: Option.Option<StoredDefinition>
}

const isFromRepository = (id: ModelId.ModelId, file: ModelFile) =>
  id._tag === "HuggingFace" &&
  id.variant === undefined &&
  (file.origin?.manifest.ids ?? []).some((known) =>
    known.toLowerCase().startsWith(`${ModelId.format(id).toLowerCase()}:`)
  )

/** The models of definition files. A definition without its source, or with the name of another model, is skipped. */
export const resolveCreated = (
  definitions: ReadonlyArray<DefinitionFile>,
  sources: ReadonlyArray<ModelFile>
) => {
  const ids = new Set(sources.map(({ id }) => id))
  const models: Array<ModelFile> = []
  const skipped: Array<Skipped> = []
  for (const { definition, file } of definitions) {
    if (Option.isNone(definition)) {
      skipped.push({ path: file, reason: "it is not the definition of a model" })
      continue
    }
    const { from, id } = definition.value
    const source = sources.find((known) => namesOf(known).includes(from))
    if (source === undefined) {
      skipped.push({ path: file, reason: `the model '${from}', from which it was created, is missing` })
    } else if (ids.has(id)) skipped.push({ path: file, reason: `another model has the name '${id}'` })
    else {
      ids.add(id)
      models.push({ id, path: source.path, created: { definition: definition.value, file, source } })
    }
  }
  return { models, skipped }
}

const optionalCache = <A>(
  load: (file: string) => Effect.Effect<Option.Option<A>, PlatformError.PlatformError, FileSystem.FileSystem>
) =>
  Effect.map(
    FileCache.make({
      read: (file) => Effect.mapError(load(file), () => undefined),
      missing: () => undefined
    }),
    (cached) => (file: string) => Effect.orElseSucceed(cached(file), () => Option.none<A>())
  )

export const makeModelIndex = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const header = yield* FileCache.make({
    read: readModelHeader,
    missing: (path) => new GgufError({ path, kind: "unreadable", reason: "it does not exist" }),
    companions: (path) => partsOf(path).slice(1)
  })
  const manifest = yield* optionalCache(loadManifest)
  const definition = yield* optionalCache(loadCreated)

  const bundled = tinyModelPath.pipe(
    Effect.map(Option.map((path): ModelFile => ({ id: "rbee:tiny", path }))),
    Effect.provideContext(context)
  )

  const contents = Effect.gen(function* () {
    const found = yield* findModelFiles(folder, manifest)
    const definitions = yield* Effect.forEach(found.created, (file) =>
      Effect.map(definition(file), (definition) => ({ file, definition }))
    )
    const sources = [...Option.toArray(yield* bundled), ...found.files]
    const created = resolveCreated(definitions, sources)
    return {
      files: [...found.files, ...created.models],
      skipped: [...found.skipped, ...created.skipped]
    }
  }).pipe(Effect.provideContext(context))

  const search = Effect.fnUntraced(function* (text: string) {
    const parsed = ModelId.parse(text)
    if (Result.isSuccess(parsed)) {
      const id = parsed.success
      if (id._tag === "Bundled") return yield* bundled
      if (id._tag === "File") return Option.some<ModelFile>({ id: ModelId.format(id), path: id.path })
    }
    const all = [...Option.toArray(yield* bundled), ...(yield* contents).files]
    const named = findNamed(all, namesOf, text)
    if (named !== undefined) return Option.some(named)
    const id = yield* Effect.fromResult(parsed)
    const found = findNamed(all, namesOf, ModelId.format(id))
    if (found !== undefined) return Option.some(found)
    const [only, ...others] = all.filter((file) => isFromRepository(id, file))
    return others.length === 0 ? Option.fromUndefinedOr(only) : Option.none()
  })

  const locate = Effect.fnUntraced(function* (id: string) {
    const found = yield* search(id)
    if (Option.isSome(found) && (yield* Effect.orElseSucceed(fs.exists(found.value.path), () => false))) {
      return found.value
    }
    const known = Result.map(ModelId.parse(id), ModelId.format)
    return yield* new ModelNotFound({ id: Result.getOrElse(known, () => id), folder })
  })

  const index: ModelIndex = { folder, contents, bundled, locate, header }
  return index
})
