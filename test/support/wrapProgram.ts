import { execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"

/** Puts a program into a folder that calls the program of the same name on the PATH, with these words first. */
export const wrapProgram = (folder: string, name: string, words: string) => {
  const real = execFileSync("/bin/sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim()
  const file = join(folder, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(file, `#!/bin/sh\nexec ${real} ${words} "$@"\n`)
  chmodSync(file, 0o755)
}

/**
 * Makes a folder for the beginning of the PATH, in which gzip compresses fast instead of well: tests pack Node and the
 * engine, and need the archives once. Gives the PATH with it.
 */
export const withFastGzip = (folder: string) => {
  wrapProgram(folder, "gzip", "-1")
  return `${folder}${delimiter}${process.env["PATH"] ?? ""}`
}
