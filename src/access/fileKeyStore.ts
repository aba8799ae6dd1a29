import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Result from "effect/Result"
import { systemProblem } from "../settings/systemProblem.ts"
import { atomicWrite } from "../system/atomicWrite.ts"
import { withLock } from "../system/FileLock.ts"
import { makeFolder } from "../system/makeFolder.ts"
import { Pids } from "../system/Pids.ts"
import { watchFile } from "../system/watchedFile.ts"
import { byHash, parseKeys, printKeys } from "./ApiKey.ts"
import { type ApiKeyStore, ApiKeysUnreadable, type KeysByHash } from "./ApiKeyStore.ts"

const remedy = "fix the file or its permissions, or remove it and create new keys"

/** Keeps the API keys in `keys.json` of a folder, which is created for the first key. */
export const fileKeyStore = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const pids = yield* Pids
  const file = path.join(folder, "keys.json")

  const unreadable = (error: PlatformError.PlatformError) =>
    new ApiKeysUnreadable({ file, reason: systemProblem(error) })

  const parse = (text: string) =>
    Result.mapError(
      parseKeys(text),
      (reason) => new ApiKeysUnreadable({ file, reason: `${reason}; ${remedy}` })
    )

  const read = Effect.matchEffect(fs.readFileString(file), {
    onSuccess: (text) => Effect.fromResult(parse(text)),
    onFailure: (error) =>
      error.reason._tag === "NotFound" ? Effect.succeed([]) : Effect.fail(unreadable(error))
  })

  const keys = yield* watchFile<KeysByHash, ApiKeysUnreadable>({
    file,
    initial: new Map(),
    read: Effect.map(read, byHash),
    onBroken: ({ message }) =>
      Effect.logWarning("keys.json cannot be used; the previous keys remain valid", { problem: message })
  })
  // Under load the first request could not afford to read them.
  yield* keys.latest

  const change: ApiKeyStore["change"] = (edit) =>
    Effect.gen(function* () {
      yield* makeFolder(folder, 0o700)
      const work = Effect.gen(function* () {
        const edited = edit(yield* read)
        if (Result.isSuccess(edited)) {
          const [, changed] = edited.success
          yield* atomicWrite(file, printKeys(changed), { mode: 0o600, sync: true })
          yield* keys.replace(byHash(changed))
        }
        return Result.map(edited, ([answer]) => answer)
      })
      return yield* withLock(`${file}.lock`)(work)
    }).pipe(
      Effect.catchTag("PlatformError", (error) => Effect.fail(unreadable(error))),
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.provideService(Pids, pids),
      Effect.flatMap(Effect.fromResult)
    )

  return { read, latest: keys.latest, change } satisfies ApiKeyStore
})
