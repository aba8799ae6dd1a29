import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

/** Renames files that cannot be used, so that a person can look at them, and logs where they are. */
export const setAside = Effect.fnUntraced(function* (files: ReadonlyArray<string>, reason: string) {
  const fs = yield* FileSystem.FileSystem
  const millis = yield* Clock.currentTimeMillis
  for (const file of files) {
    if (!(yield* fs.exists(file))) continue
    const kept = `${file}.damaged-${millis}`
    yield* fs.rename(file, kept)
    yield* Effect.logError("a file of the store cannot be used and was set aside", { file, kept, reason })
  }
})
