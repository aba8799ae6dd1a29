import { execFileSync } from "node:child_process"

/** Puts a disk of a megabyte at the folder, if this user may mount one; whether it did. */
export const mountTmpfs = (folder: string) => {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}
