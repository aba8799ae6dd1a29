import * as Cache from "effect/Cache"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { GgufError } from "./GgufFile.ts"
import { readWhole } from "./GgufParts.ts"

class FileVersion extends Data.Class<{
  readonly path: string
  readonly size: bigint
  readonly modified: number | undefined
}> {}

const rememberedFiles = 4096
const failureRemembered = Duration.minutes(1)

/**
 * Makes a reader of headers that reads a file again only when its size or time of change is another. A
 * failure is remembered for a minute and logged when it is found.
 */
export const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  // A cache would take the file system of whoever calls before the one it was made with.
  const read = ({ path }: FileVersion) =>
    readWhole(path).pipe(Effect.tapError(note), Effect.provideService(FileSystem.FileSystem, fs))
  const cache = yield* Cache.makeWith(read, {
    capacity: rememberedFiles,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : failureRemembered)
  })
  return Effect.fnUntraced(function* (path: string) {
    const info = yield* Effect.mapError(fs.stat(path), () => gone(path))
    const modified = Option.getOrUndefined(info.mtime)?.getTime()
    return yield* Cache.get(cache, new FileVersion({ path, size: info.size, modified }))
  })
})

const gone = (path: string) => new GgufError({ path, kind: "unreadable", reason: "it is not there" })

// A later part is met whenever a split model is listed, and is nothing to worry about.
const note = (error: GgufError) =>
  error.kind === "later_part"
    ? Effect.void
    : Effect.logWarning("file is no usable model", { reason: error.message })
