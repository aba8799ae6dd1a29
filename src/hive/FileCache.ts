import * as Cache from "effect/Cache"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"

class FileVersion extends Data.Class<{
  readonly path: string
  readonly size: bigint
  readonly modified: number | undefined
}> {}

const rememberedFiles = 4096
const failureRemembered = Duration.minutes(1)

/**
 * Makes a reader that reads a file again only when its size or time of change is another. A failure is remembered for a
 * minute. An absent file gives what `gone` says.
 */
export const make = Effect.fnUntraced(function* <A, E>(
  read: (path: string) => Effect.Effect<A, E, FileSystem.FileSystem>,
  gone: (path: string) => E
) {
  const fs = yield* FileSystem.FileSystem
  // A cache would take the file system of whoever calls before the one it was made with.
  const lookup = ({ path }: FileVersion) => Effect.provideService(read(path), FileSystem.FileSystem, fs)
  const cache = yield* Cache.makeWith(lookup, {
    capacity: rememberedFiles,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : failureRemembered)
  })
  return Effect.fnUntraced(function* (path: string) {
    const info = yield* Effect.mapError(fs.stat(path), () => gone(path))
    const modified = Option.getOrUndefined(info.mtime)?.getTime()
    return yield* Cache.get(cache, new FileVersion({ path, size: info.size, modified }))
  })
})
