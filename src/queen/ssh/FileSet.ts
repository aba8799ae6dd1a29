import { createHash } from "node:crypto"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

/** Files below one folder, with their total size in bytes. */
export interface FileSet {
  readonly root: string
  readonly files: ReadonlyArray<string>
  readonly bytes: number
}

const maxConcurrentStats = 16

/** The files among `names` and those in folders among `names`, below `root`, following links; `keep` filters them. */
export const collectFiles = Effect.fnUntraced(function* (
  root: string,
  names: ReadonlyArray<string>,
  keep: (file: string) => boolean = () => true
) {
  const fs = yield* FileSystem.FileSystem

  const below = Effect.fnUntraced(function* (name: string) {
    const { type } = yield* fs.stat(path.join(root, name))
    if (type !== "Directory") return [name]
    const entries = yield* fs.readDirectory(path.join(root, name), { recursive: true })
    return entries.map((entry) => path.join(name, entry))
  })

  const found = (yield* Effect.forEach(names, below)).flat().filter(keep)
  const sized = yield* Effect.forEach(
    [...new Set(found)].toSorted(),
    (file) =>
      Effect.map(fs.stat(path.join(root, file)), ({ size, type }) => ({ file, type, size: Number(size) })),
    { concurrency: maxConcurrentStats }
  )
  const files = sized.filter(({ type }) => type === "File")
  return {
    root,
    files: files.map(({ file }) => file),
    bytes: files.reduce((sum, { size }) => sum + size, 0)
  } satisfies FileSet
})

/** The SHA-256, in hexadecimal digits, of names and contents of files, regardless of times and owners. */
export const checksumOf = Effect.fnUntraced(function* ({ files, root }: FileSet) {
  const fs = yield* FileSystem.FileSystem
  const hash = createHash("sha256")
  for (const file of files) {
    const content = createHash("sha256").update(yield* fs.readFile(path.join(root, file)))
    hash.update(`${file}\n${content.digest("hex")}\n`)
  }
  return hash.digest("hex")
})
