import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import { incomingFolder, manifestExtension, type ModelManifest } from "./download/ModelManifest.ts"
import * as ModelId from "./ModelId.ts"

/** A GGUF file of the models folder, or one that was adopted where it lies. */
export interface ModelFile {
  readonly id: string
  readonly path: string
  /** Where it came from, when rbee brought it. */
  readonly origin?: { readonly manifest: ModelManifest; readonly file: string }
}

type ReadManifest = (file: string) => Effect.Effect<Option.Option<ModelManifest>>

const deepest = 8
const mostEntries = 20_000

/**
 * Finds the `*.gguf` files below a folder, to a depth of 8 and among its first 20,000 entries, and those that manifests
 * name elsewhere. A file's id is the one that it was asked for by, else its name without `.gguf`; a name that an earlier
 * file has, or that no id may have, gives its path as `file:`. Links to files are followed, links to folders are not. A
 * folder that is absent or closed to us has no files.
 */
export const findModelFiles = Effect.fn("ModelFolder.findModelFiles")(function* (
  folder: string,
  readManifest: ReadManifest
) {
  const path = yield* Path.Path
  const { manifests, models } = yield* walk(folder)
  const byModel = new Map<string, { readonly manifest: ModelManifest; readonly file: string }>()
  const found = yield* Effect.forEach(
    manifests,
    (file) => Effect.map(readManifest(file), (manifest) => ({ file, manifest })),
    { concurrency: 16 }
  )
  for (const { file, manifest } of found) {
    if (Option.isNone(manifest)) continue
    const model = manifest.value.path ?? file.slice(0, -manifestExtension.length)
    byModel.set(model, { manifest: manifest.value, file })
    if (manifest.value.path !== undefined) models.push(model)
  }

  const taken = new Set<string>()
  const files: Array<ModelFile> = []
  for (const file of models) {
    const origin = byModel.get(file)
    const names = [...(origin?.manifest.ids ?? [path.basename(file, ".gguf")]), file]
    const id = names.map(idOf).find((id) => id !== undefined && !taken.has(id))
    if (id === undefined) {
      yield* Effect.logWarning("model file has a name that no model id may have; rename it", { file })
    } else {
      taken.add(id)
      files.push({ id, path: file, ...(origin === undefined ? {} : { origin }) })
    }
  }
  return files
})

const idOf = (text: string): string | undefined => {
  const id = Result.getOrUndefined(ModelId.parse(text))
  return id === undefined ? undefined : ModelId.format(id)
}

const walk = Effect.fnUntraced(function* (root: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const models: Array<string> = []
  const manifests: Array<string> = []
  let folders: ReadonlyArray<string> = [root]
  let entries = 0
  for (let depth = 0; depth < deepest && folders.length > 0; depth++) {
    const next: Array<string> = []
    for (const folder of folders) {
      const inside = yield* Effect.orElseSucceed(fs.readDirectoryEntries(folder), () => [])
      for (const { name, type } of inside.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
        if (++entries > mostEntries) {
          yield* Effect.logWarning("models folder has too many entries; the rest is not seen", {
            folder: root
          })
          return { models, manifests }
        }
        if (type === "Directory") {
          if (depth > 0 || name !== incomingFolder) next.push(path.join(folder, name))
        } else if (name.endsWith(".gguf")) models.push(path.join(folder, name))
        else if (name.endsWith(manifestExtension)) manifests.push(path.join(folder, name))
      }
    }
    folders = next
  }
  return { models, manifests }
})
