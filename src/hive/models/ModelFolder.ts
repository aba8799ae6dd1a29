import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import { systemProblem } from "../../settings/systemProblem.ts"
import { createdExtension, type StoredDefinition } from "./CreatedModels.ts"
import * as ModelId from "./ModelId.ts"
import { incomingFolder, manifestExtension, type ModelManifest } from "./ModelManifest.ts"

/** A GGUF file of the models folder, or one that was adopted in place. */
export interface ModelFile {
  readonly id: string
  readonly path: string
  /** The manifest of a file that rbee downloaded or adopted. */
  readonly origin?: { readonly manifest: ModelManifest; readonly file: string }
  /** The definition of a model that was created from another one, whose file it shares. */
  readonly created?: {
    readonly definition: StoredDefinition
    readonly file: string
    readonly source: ModelFile
  }
}

/** A file or folder that is not listed, and the reason. */
export interface Skipped {
  readonly path: string
  readonly reason: string
}

type ReadManifest = (file: string) => Effect.Effect<Option.Option<ModelManifest>>

const maxDepth = 8
const maxEntries = 20_000
const maxSkipped = 200
const ggufName = /\.gguf$/i

/**
 * Finds the `*.gguf` files (in any case) below a folder, to a depth of 8 and among its first 20,000 entries, and adopted files
 * elsewhere. It follows links, and reads each folder once. A file's id is the id of its download, else its name without
 * `.gguf`; if the name is invalid or taken, the id is `file:` and the path. `created` are the definition files of created
 * models. `skipped` has at most 200 entries that could not be read or named. An absent folder has no files.
 */
export const findModelFiles = Effect.fn("ModelFolder.findModelFiles")(function* (
  folder: string,
  readManifest: ReadManifest
) {
  const path = yield* Path.Path
  const { created, manifests, models, skipped } = yield* walk(folder)
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
    const names = [...(origin?.manifest.ids ?? [path.basename(file).replace(ggufName, "")]), file]
    const id = names.map(idOf).find((id) => id !== undefined && !taken.has(id))
    if (id === undefined) {
      const { reason } = Result.getOrElse(Result.flip(ModelId.parse(file)), () => ({
        reason: "its name is taken"
      }))
      skipped.push({ path: file, reason: `${reason}; rename it` })
    } else {
      taken.add(id)
      files.push({ id, path: file, ...(origin === undefined ? {} : { origin }) })
    }
  }
  return { files, created, skipped: skipped.slice(0, maxSkipped) }
})

const idOf = (text: string): string | undefined => {
  const id = Result.getOrUndefined(ModelId.parse(text))
  return id === undefined ? undefined : ModelId.format(id)
}

interface Entry {
  readonly path: string
  readonly name: string
  readonly isFolder: boolean
}

/** The entries of a folder, sorted by name, after following links. Fails when the folder cannot be read. */
const entriesOf = Effect.fnUntraced(function* (folder: string, skip: (path: string, reason: string) => void) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const inside = yield* fs.readDirectoryEntries(folder)
  const entries: Array<Entry> = []
  for (const { name, type } of inside.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    const file = path.join(folder, name)
    if (type !== "SymbolicLink") {
      entries.push({ path: file, name, isFolder: type === "Directory" })
      continue
    }
    const target = yield* Effect.result(fs.stat(file))
    if (Result.isSuccess(target)) {
      entries.push({ path: file, name, isFolder: target.success.type === "Directory" })
    } else if (ggufName.test(name)) {
      skip(file, `the file that the link names cannot be read: ${systemProblem(target.failure)}`)
    }
  }
  return entries
})

const walk = Effect.fnUntraced(function* (root: string) {
  const fs = yield* FileSystem.FileSystem
  const models: Array<string> = []
  const manifests: Array<string> = []
  const created: Array<string> = []
  const skipped: Array<Skipped> = []
  const skip = (path: string, reason: string) => void skipped.push({ path, reason })
  const read = new Set<string>()
  let folders: ReadonlyArray<string> = [root]
  let entries = 0
  for (let depth = 0; folders.length > 0; depth++) {
    if (depth === maxDepth) {
      for (const folder of folders) skip(folder, `it is more than ${maxDepth - 1} folders deep`)
      break
    }
    const next: Array<string> = []
    for (const folder of folders) {
      const real = yield* Effect.orElseSucceed(fs.realPath(folder), () => folder)
      if (read.has(real)) continue
      read.add(real)
      const inside = yield* Effect.result(entriesOf(folder, skip))
      if (Result.isFailure(inside)) {
        const isAbsent = depth === 0 && inside.failure.reason._tag === "NotFound"
        if (!isAbsent) skip(folder, `the folder cannot be read: ${systemProblem(inside.failure)}`)
        continue
      }
      for (const { isFolder, name, path } of inside.success) {
        if (++entries > maxEntries) {
          skip(root, `it has more than ${maxEntries} entries; the rest is not searched`)
          return { models, manifests, created, skipped }
        }
        if (isFolder) {
          if (depth > 0 || name !== incomingFolder) next.push(path)
        } else if (ggufName.test(name)) models.push(path)
        else if (name.endsWith(manifestExtension)) manifests.push(path)
        else if (name.endsWith(createdExtension)) created.push(path)
      }
    }
    folders = next
  }
  return { models, manifests, created, skipped }
})
