import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ModelDefinition } from "../../operation/CreatedModel.ts"
import { atomicWrite } from "../../system/atomicWrite.ts"

/** The suffix of a manifest, after the name of the model's first file. */
export const manifestExtension = ".rbee.json"

/** The subfolder of the models folder that holds incomplete downloads. */
export const incomingFolder = "incoming"

/** A file of a model, as it was verified after its download. Size in bytes. */
export const ManifestFile = Schema.Struct({
  name: Schema.String,
  size: Schema.Finite,
  /** `null` for an adopted file, which is not verified. */
  sha256: Schema.NullOr(Schema.String)
})
export type ManifestFile = typeof ManifestFile.Type

/**
 * The manifest beside a downloaded or adopted model: the ids under which it was requested, its source, the time, and the
 * verified files. `path` is set for a file that was adopted in place, `defaults` for a model that came with parameters or a
 * system prompt.
 */
export const ModelManifest = Schema.Struct({
  ids: Schema.NonEmptyArray(Schema.String),
  from: Schema.String,
  at: Schema.String,
  path: Schema.optionalKey(Schema.String),
  files: Schema.Array(ManifestFile),
  defaults: Schema.optionalKey(ModelDefinition)
})
export type ModelManifest = typeof ModelManifest.Type

const ManifestJson = Schema.fromJsonString(ModelManifest)
const decode = Schema.decodeUnknownOption(ManifestJson)

/** Reads a manifest; none when the file is not a manifest. Fails when it cannot be read. */
export const loadManifest = (file: string) =>
  Effect.map(
    FileSystem.FileSystem.use((fs) => fs.readFileString(file)),
    decode
  )

/** Reads a manifest; none when the file is absent, unreadable or not a manifest. */
export const readManifest = (file: string) =>
  Effect.orElseSucceed(loadManifest(file), () => Option.none<ModelManifest>())

/** Writes a manifest. Readers see the complete old or new one. */
export const writeManifest = (file: string, manifest: ModelManifest) =>
  atomicWrite(file, `${JSON.stringify(manifest, null, 2)}\n`)
