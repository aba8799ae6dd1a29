import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const root = new URL("../..", import.meta.url).pathname
const folder = join(root, "test/.programs")
const stamp = join(folder, "stamp")
const config = join(root, ".rolldown.tests.mjs")

const changedAt = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0

const newestIn = (folder: string) =>
  Math.max(
    ...readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) =>
      changedAt(join(root, folder, name))
    )
  )

const sourcesChangedAt = () =>
  Math.max(
    newestIn("src"),
    newestIn("test/support"),
    ...[config, join(root, "package-lock.json")].map(changedAt)
  )

/**
 * Bundles the programs of `programs.ts` before the tests, unless they are as new as their sources. All programs that tests
 * start share a folder with compiled code, so that each is compiled once.
 */
export const setup = () => {
  process.env["NODE_COMPILE_CACHE"] ??= join(folder, "compiled")
  if (changedAt(stamp) > sourcesChangedAt()) return
  const begun = new Date()
  execFileSync(process.execPath, [join(root, "node_modules/.bin/rolldown"), "-c", config], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"]
  })
  mkdirSync(folder, { recursive: true })
  writeFileSync(stamp, begun.toISOString())
}
