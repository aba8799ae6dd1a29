import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

const maxBytes = 8192
const maxLines = 10

/** The last ten lines that are not blank of the last 8 KiB of a log file; none when it cannot be read. */
export const lastLines = Effect.fn("LogTail.lastLines")(
  function* (file: string) {
    const fs = yield* FileSystem.FileSystem
    const { size } = yield* fs.stat(file)
    const length = Math.min(Number(size), maxBytes)
    const log = yield* fs.open(file)
    const buffer = new Uint8Array(length)
    const read = yield* log.read(buffer, { position: size - BigInt(length) })
    const lines = new TextDecoder().decode(buffer.subarray(0, read)).split(/\r?\n/)
    return lines.filter((line) => line.trim() !== "").slice(-maxLines)
  },
  Effect.scoped,
  Effect.orElseSucceed((): ReadonlyArray<string> => [])
)
