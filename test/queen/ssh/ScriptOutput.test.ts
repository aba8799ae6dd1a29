import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  parseScriptOutput,
  requireValue,
  UnexpectedScriptOutput
} from "../../../src/queen/ssh/ScriptOutput.ts"

const output = parseScriptOutput(
  [
    "Welcome to atlas!",
    "rbee:node v20 /a",
    "rbee:data /home/me/rbee data",
    "rbee:node v24 /b\r",
    "rbee:empty ",
    ""
  ].join("\n")
)

describe("parseScriptOutput", () => {
  it("reads the values of each key in their order, and skips other lines", () => {
    assert.deepStrictEqual(output.all("node"), ["v20 /a", "v24 /b"])
    assert.strictEqual(output.first("data"), "/home/me/rbee data")
    assert.strictEqual(output.first("empty"), "")
    assert.deepStrictEqual([output.all("other"), output.first("other")], [[], undefined])
  })
})

describe("requireValue", () => {
  it.effect("fails with the key that the script should have printed", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* requireValue(output, "atlas", "data"), "/home/me/rbee data")
      const error = yield* Effect.flip(requireValue(output, "atlas", "incoming"))
      assert.deepStrictEqual(error, new UnexpectedScriptOutput({ hive: "atlas", missing: "incoming" }))
    })
  )
})
