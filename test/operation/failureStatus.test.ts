import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { failureStatus } from "../../src/operation/failureStatus.ts"

const source = new URL("../../src", import.meta.url).pathname

const declarations = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.startsWith("worker/"))
  .flatMap((name) =>
    Array.from(
      readFileSync(join(source, name), "utf8").matchAll(
        /TaggedError<\w+>\(\)\(\s*"(\w+)",(?:(?!TaggedError<)[^])*?httpApiStatus: ([\w.]+)/g
      )
    )
  )
  .map(([, tag = "", status = ""]) => [tag, status] as const)

it("the class of a job's failure has the status that its code has on the wire, and no tag has two statuses", () => {
  const statuses = new Map<string, string>()
  for (const [tag, status] of declarations) {
    if (Object.hasOwn(failureStatus, tag)) assert.strictEqual(status, `failureStatus.${tag}`)
    assert.strictEqual(statuses.get(tag) ?? status, status, tag)
    statuses.set(tag, status)
  }
  assert.isAbove(statuses.size, 30)
})
