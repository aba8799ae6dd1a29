import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const root = new URL("../..", import.meta.url).pathname
const stamp = join(root, "test/.programs/stamp")

const changedAt = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0

const newestIn = (folder: string) =>
  Math.max(
    ...readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) =>
      changedAt(join(root, folder, name))
    )
  )

/** Bundles the programs of `programs.ts` before the tests, unless they are as new as their sources. */
export const setup = () => {
  const config = join(root, ".rolldown.tests.mjs")
  if (changedAt(stamp) > Math.max(newestIn("src"), newestIn("test/support"), changedAt(config))) return
  const begun = new Date()
  execFileSync(process.execPath, [join(root, "node_modules/.bin/rolldown"), "-c", config], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"]
  })
  mkdirSync(join(root, "test/.programs"), { recursive: true })
  writeFileSync(stamp, begun.toISOString())
}
