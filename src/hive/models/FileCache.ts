import * as Cache from "effect/Cache"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"

/** A file as it was at one time: `stamp` differs when it, or a file that belongs to it, was written or replaced. */
class FileVersion extends Data.Class<{ readonly path: string; readonly stamp: string }> {}

const maxFiles = 4096
const failureKept = Duration.seconds(5)

const stampOf = ({ ino, mode, mtime, size }: FileSystem.File.Info) =>
  [size, Option.getOrUndefined(mtime)?.getTime(), Option.getOrUndefined(ino), mode].join(":")

/**
 * Makes a reader that reads a file again only when the file, or one of its `companions`, has another size, time of change,
 * inode or mode. At most 4,096 results are kept, a failure for five seconds. An absent file gives what `missing` says.
 */
export const make = Effect.fnUntraced(function* <A, E>(options: {
  readonly read: (path: string) => Effect.Effect<A, E, FileSystem.FileSystem>
  readonly missing: (path: string) => E
  readonly companions?: (path: string) => ReadonlyArray<string>
}) {
  const fs = yield* FileSystem.FileSystem
  const { companions = () => [], missing, read } = options
  // A cache would take the file system of its caller before the one it was made with.
  const lookup = ({ path }: FileVersion) => Effect.provideService(read(path), FileSystem.FileSystem, fs)
  const cache = yield* Cache.makeWith(lookup, {
    capacity: maxFiles,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : failureKept)
  })
  const stampIfThere = (path: string) =>
    Effect.orElseSucceed(Effect.map(fs.stat(path), stampOf), () => "missing")
  return Effect.fnUntraced(function* (path: string) {
    const info = yield* Effect.mapError(fs.stat(path), () => missing(path))
    let stamp = stampOf(info)
    for (const other of companions(path)) stamp += `|${yield* stampIfThere(other)}`
    return yield* Cache.get(cache, new FileVersion({ path, stamp }))
  })
})
