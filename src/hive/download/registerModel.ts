import * as path from "node:path"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { systemProblem } from "../../settings/systemProblem.ts"
import { makeFolder } from "../../system/makeFolder.ts"
import {
  manifestExtension,
  type ModelManifest,
  readManifest,
  writeManifest
} from "../models/ModelManifest.ts"
import { diskError, FileNotReadable } from "./errors.ts"
import { exists } from "./IncomingFolder.ts"
import type { RemoteModel } from "./RemoteModel.ts"

/** Adds an id to the manifest of a present model, and replaces the defaults by those of its source. */
export const updateManifest = Effect.fn("Downloads.updateManifest")(function* (
  id: string,
  { defaults }: RemoteModel,
  manifest: string
) {
  const found = yield* readManifest(manifest)
  if (Option.isNone(found)) return
  const { defaults: previous, ids, ...facts } = found.value
  if (ids.includes(id) && Equal.equals(defaults, previous)) return
  const updated: ModelManifest = {
    ...facts,
    ids: ids.includes(id) ? ids : [...ids, id],
    ...(defaults === undefined ? {} : { defaults })
  }
  yield* Effect.mapError(writeManifest(manifest, updated), diskError(manifest))
})

/** Registers a model file where it is, by a manifest in the models folder. */
export const adoptFile = Effect.fn("Downloads.adoptFile")(function* (
  folder: string,
  id: string,
  file: string
) {
  const fs = yield* FileSystem.FileSystem
  const manifest = path.join(folder, "files", `${encodeURIComponent(file)}${manifestExtension}`)
  const { size } = yield* Effect.mapError(
    fs.stat(file),
    (error) => new FileNotReadable({ path: file, reason: systemProblem(error) })
  )
  if (yield* exists(manifest)) return file
  const at = DateTime.formatIso(yield* DateTime.now)
  const files = [{ name: path.basename(file), size: Number(size), sha256: null }]
  yield* makeFolder(path.dirname(manifest)).pipe(
    Effect.andThen(writeManifest(manifest, { ids: [id], from: id, at, path: file, files })),
    Effect.mapError(diskError(manifest))
  )
  return file
})
