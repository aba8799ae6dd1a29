// @effect-diagnostics nodeBuiltinImport:off -- Effect's own makes folders by Node's recursive mkdir, see below
import { mkdir } from "node:fs/promises"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as PlatformError from "effect/PlatformError"
import { causeCode } from "../settings/systemProblem.ts"

/**
 * Makes a folder, and those above it that are not there. Node's recursive `mkdir` reports ENOENT for what the system
 * refused for another reason, such as a read-only file system; this one rejects with the system's own error.
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

/** The same as an effect. The mode is that of each folder made; by default it is left to the process. */
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
