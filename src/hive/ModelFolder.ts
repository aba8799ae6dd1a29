import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as ModelId from "./ModelId.ts"

/** A GGUF file of the models folder, adopted where it lies. */
export interface ModelFile {
  readonly id: string
  readonly path: string
}

const deepest = 8
const mostEntries = 20_000

/**
 * Finds the `*.gguf` files below a folder, to a depth of 8 and among its first 20,000 entries. A file's id is
 * its name without `.gguf`; a name that an earlier file has, or that no id may have, gives its path as
 * `file:`. Links to files are followed, links to folders are not. A folder that is absent or closed to us has
 * no files.
 */
export const findModelFiles = Effect.fn("ModelFolder.findModelFiles")(function* (folder: string) {
  const path = yield* Path.Path
  const taken = new Set<string>()
  const files: Array<ModelFile> = []
  for (const file of yield* walk(folder)) {
    const id = [path.basename(file, ".gguf"), file].map(idOf).find((id) => id !== undefined && !taken.has(id))
    if (id === undefined) {
      yield* Effect.logWarning("model file has a name that no model id may have; rename it", { file })
    } else {
      taken.add(id)
      files.push({ id, path: file })
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
  const found: Array<string> = []
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
          return found
        }
        if (type === "Directory") next.push(path.join(folder, name))
        else if (name.endsWith(".gguf")) found.push(path.join(folder, name))
      }
    }
    folders = next
  }
  return found
})
