import * as Cache from "effect/Cache"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import { fileStamp, stampOf } from "../../system/watchedFile.ts"

/** A version of a file: `stamp` differs when the file, or one of its companions, was written or replaced. */
class FileVersion extends Data.Class<{ readonly path: string; readonly stamp: string }> {}

const maxFiles = 4096
const failureKept = Duration.seconds(5)

/**
 * Makes a reader that reads a file again only when the file, or one of its `companions`, has another size, modification time,
 * inode or mode. It keeps at most 4,096 results, and a failure for five seconds. A file without a stamp fails with `missing`.
 */
export const make = Effect.fnUntraced(function* <A, E>(options: {
  readonly read: (path: string) => Effect.Effect<A, E, FileSystem.FileSystem>
  readonly missing: (path: string) => E
  readonly companions?: (path: string) => ReadonlyArray<string>
}) {
  const fs = yield* FileSystem.FileSystem
  const { companions = () => [], missing, read } = options
  // `Cache` prefers the services of its caller to those of its construction.
  const lookup = ({ path }: FileVersion) => Effect.provideService(read(path), FileSystem.FileSystem, fs)
  const cache = yield* Cache.makeWith(lookup, {
    capacity: maxFiles,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : failureKept)
  })
  return Effect.fnUntraced(function* (path: string) {
    const info = yield* Effect.mapError(fs.stat(path), () => missing(path))
    let stamp = stampOf(info)
    for (const other of companions(path)) {
      stamp += `|${yield* Effect.provideService(fileStamp(other), FileSystem.FileSystem, fs)}`
    }
    return yield* Cache.get(cache, new FileVersion({ path, stamp }))
  })
})
