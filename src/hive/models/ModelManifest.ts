import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** What follows the name of a model's first file in the name of its manifest. */
export const manifestExtension = ".rbee.json"

/** The folder, below that of the models, where files are until they are whole. */
export const incomingFolder = "incoming"

/** A file of a model, as it was checked when it came. Size in bytes. */
export const ManifestFile = Schema.Struct({
  name: Schema.String,
  size: Schema.Finite,
  /** Of a file that was adopted, nothing was checked. */
  sha256: Schema.NullOr(Schema.String)
})
export type ManifestFile = typeof ManifestFile.Type

/**
 * What stands beside a model that was brought here: under which ids it was asked for, from where it came and when, and
 * what was checked. `path` is there for a file that was adopted where it lies.
 */
export const ModelManifest = Schema.Struct({
  ids: Schema.NonEmptyArray(Schema.String),
  from: Schema.String,
  at: Schema.String,
  path: Schema.optionalKey(Schema.String),
  files: Schema.Array(ManifestFile)
})
export type ModelManifest = typeof ModelManifest.Type

const ManifestJson = Schema.fromJsonString(ModelManifest)
const decode = Schema.decodeUnknownOption(ManifestJson)

/** Reads a manifest; none when the file is not one. Fails when it cannot be read. */
export const loadManifest = (file: string) =>
  Effect.map(
    FileSystem.FileSystem.use((fs) => fs.readFileString(file)),
    decode
  )

/** Reads a manifest; none when it is absent, cannot be read or is not one. */
export const readManifest = (file: string) =>
  Effect.orElseSucceed(loadManifest(file), () => Option.none<ModelManifest>())

/** Writes a manifest, so that readers see all of it or the one before. */
export const writeManifest = Effect.fn("ModelManifest.writeManifest")(function* (
  file: string,
  manifest: ModelManifest
) {
  const fs = yield* FileSystem.FileSystem
  const temporary = `${file}.new`
  yield* fs.writeFileString(temporary, `${JSON.stringify(manifest, null, 2)}\n`)
  yield* fs.rename(temporary, file)
})
