import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { LogLines } from "./LogLines.ts"

const chunkBytes = 64 * 1024

/** The size of a file in bytes; 0 when it cannot be read. */
export const sizeOf = (fs: FileSystem.FileSystem, file: string) =>
  Effect.orElseSucceed(
    Effect.map(fs.stat(file), ({ size }) => Number(size)),
    () => 0
  )

const readFrom = (fs: FileSystem.FileSystem, file: string, position: number) =>
  Effect.gen(function* () {
    const open = yield* fs.open(file)
    const buffer = new Uint8Array(chunkBytes)
    const read = yield* open.read(buffer, { position: BigInt(position) })
    return buffer.subarray(0, Number(read))
  }).pipe(
    Effect.scoped,
    Effect.orElseSucceed(() => new Uint8Array())
  )

/**
 * Reads a file from a position to its current end. Gives the last `keep` lines, and the position where the file ended; no
 * lines when the file cannot be read.
 */
export const readLines = Effect.fnUntraced(function* (
  fs: FileSystem.FileSystem,
  file: string,
  lines: LogLines,
  from: number,
  keep: number
) {
  let kept: Array<string> = []
  let position = from
  while (true) {
    const bytes = yield* readFrom(fs, file, position)
    if (bytes.length === 0) return { lines: kept, position }
    position += bytes.length
    kept = [...kept, ...lines.add(bytes)].slice(-keep)
  }
})

/**
 * Moves the content of a file that is larger than `maxBytes` to another file. The writing process keeps the file open and
 * appends to it, so it is truncated instead of renamed.
 */
export const rotate = Effect.fnUntraced(
  function* (fs: FileSystem.FileSystem, file: string, older: string, maxBytes: number) {
    if ((yield* sizeOf(fs, file)) <= maxBytes) return
    yield* fs.copyFile(file, older)
    yield* fs.truncate(file)
  },
  (rotated) => Effect.ignore(rotated)
)
