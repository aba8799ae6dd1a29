import { execFileSync } from "node:child_process"
import { closeSync, openSync, writeSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { temporaryFolder } from "./rbee.ts"

/** Puts a disk of a megabyte at the folder, if this user may mount one; whether it did. */
export const mountTmpfs = (folder: string) => {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

/** A folder on a disk of a megabyte of its own, until the scope closes; nothing if this user may not mount one. */
export const smallDisk = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const isMounted = yield* Effect.acquireRelease(
    Effect.sync(() => mountTmpfs(folder)),
    (isMounted) => Effect.sync(() => (isMounted ? execFileSync("umount", [folder]) : undefined))
  )
  return isMounted ? folder : undefined
})

/** Leaves not a byte free on the disk of a folder. */
export const fillDisk = (folder: string) => {
  const file = openSync(join(folder, "filler"), "w")
  try {
    for (let size = 65_536; size >= 1;) {
      try {
        writeSync(file, Buffer.alloc(size))
      } catch {
        size = Math.floor(size / 2)
      }
    }
  } finally {
    closeSync(file)
  }
}

export const remountReadOnly = (folder: string) => {
  execFileSync("mount", ["-o", "remount,ro", folder])
}
