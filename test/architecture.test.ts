import { readdirSync, readFileSync } from "node:fs"
import { join, relative, resolve } from "node:path"
import { assert, it } from "@effect/vitest"

const source = new URL("../src", import.meta.url).pathname

/** What each folder may import besides itself: the house of the README, in one direction. */
const mayImport: Readonly<Record<string, ReadonlyArray<string>>> = {
  operation: [],
  config: ["operation"],
  job: ["operation", "config"],
  gateway: ["operation", "config", "job"],
  queen: ["operation", "config", "job", "gateway"],
  hive: ["operation", "config", "job", "gateway"],
  cli: ["operation", "config", "job", "queen", "hive"],
  worker: [],
  testing: ["operation", "config", "job", "queen", "hive"]
}

const roomOf = (file: string) => relative(source, file).split("/")[0]?.replace(/\.ts$/, "") ?? ""

const importsOf = (file: string) =>
  [...readFileSync(file, "utf8").matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map(([, path = ""]) =>
    resolve(file, "..", path)
  )

const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join(source, name))

it("imports run one way", () => {
  const wrong = files.flatMap((file) => {
    const room = roomOf(file)
    const allowed = mayImport[room]
    return importsOf(file)
      .map(roomOf)
      .filter((imported) => allowed !== undefined && imported !== room && !allowed.includes(imported))
      .map((imported) => `${relative(source, file)} imports ${imported}`)
  })
  assert.deepStrictEqual(wrong, [])
})

it("nothing imports an entry module, and only those export again", () => {
  for (const file of files) {
    assert.notMatch(importsOf(file).join("\n"), /\/index\.ts$/m, relative(source, file))
    if (!file.endsWith("/index.ts")) assert.notInclude(readFileSync(file, "utf8"), "export * from", file)
  }
})

it("imports of effect are by module, not by barrel", () => {
  for (const file of files) {
    assert.notMatch(
      readFileSync(file, "utf8"),
      /from "(effect|effect\/http|effect\/cli|@effect\/platform-node)"/,
      file
    )
  }
})
