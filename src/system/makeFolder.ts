// @effect-diagnostics nodeBuiltinImport:off -- Effect uses Node's recursive mkdir, see below
import { mkdir } from "node:fs/promises"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as PlatformError from "effect/PlatformError"
import { causeCode } from "../settings/systemProblem.ts"

/**
 * Creates a folder and its missing parents. Unlike Node's recursive `mkdir`, which reports ENOENT for other errors such as a
 * read-only file system, it rejects with the system's error.
 */
export const ensureFolder = async (folder: string, mode = 0o777): Promise<void> => {
  const make = () =>
    mkdir(folder, mode).catch((cause: unknown) => {
      if (causeCode(cause) !== "EEXIST") throw cause
    })
  try {
    await make()
  } catch (cause) {
    const parent = path.dirname(folder)
    if (causeCode(cause) !== "ENOENT" || parent === folder) throw cause
    await ensureFolder(parent, mode)
    await make()
  }
}

/** The same as an effect. Each created folder gets the mode; by default that of the process. */
export const makeFolder = (folder: string, mode?: number) =>
  Effect.tryPromise({
    try: () => ensureFolder(folder, mode),
    catch: (cause) =>
      PlatformError.systemError({
        _tag: "Unknown",
        module: "FileSystem",
        method: "makeDirectory",
        pathOrDescriptor: folder,
        cause
      })
  })
