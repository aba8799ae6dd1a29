import { spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { shellInput } from "../../../src/queen/ssh/quote.ts"

const shell = (input: string) => spawnSync("/bin/sh", ["-s"], { input, encoding: "utf8" }).stdout

describe("shellInput", () => {
  it.prop(
    "passes every argument to the script unchanged",
    [Schema.Array(Schema.String.check(Schema.isPattern(/^[^\0]*$/)))],
    ([some]) => {
      const args = some.map((text) => text.toWellFormed())
      const output = shell(shellInput(`for one in "$@"; do printf '%s\\036' "$one"; done`, args))
      assert.strictEqual(output, args.map((arg) => `${arg}\u001e`).join(""))
    },
    { arbitrary: { runs: 50 } }
  )

  it("runs nothing of a truncated script, and its commands cannot read its text", () => {
    const whole = shellInput("cat\necho ran\n", ["a b"])
    assert.strictEqual(shell(whole), "ran\n")
    for (let length = 0; length < whole.length - "}\n".length; length++) {
      assert.strictEqual(shell(whole.slice(0, length)), "", `cut after ${length} characters`)
    }
  })
})
