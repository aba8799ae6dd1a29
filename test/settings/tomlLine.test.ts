import { assert, describe, it } from "@effect/vitest"
import { tomlLine } from "../../src/settings/tomlLine.ts"

describe("tomlLine", () => {
  it("finds a key below its table, by its dotted name, in quotes and in an inline table", () => {
    assert.strictEqual(tomlLine("[queen]\nhost = 1\nport = 0", "queen.port"), 3)
    assert.strictEqual(tomlLine("[hive]\nport = 1\n[ queen ]\n  port=0", "queen.port"), 4)
    assert.strictEqual(tomlLine("allowed_hosts = []\r\nqueen.port = 0\r\n", "queen.port"), 2)
    assert.strictEqual(tomlLine(`["queen"]\n"port" = 0`, "queen.port"), 2)
    assert.strictEqual(tomlLine("x = 1\nqueen = { port = 0 }", "queen.port"), 2)
    assert.strictEqual(tomlLine("x = 1\n[engines.mine]\ncommand = []", "engines"), 2)
    assert.strictEqual(tomlLine("# port = 1\n[queen]\n# port = 2", "queen.port"), 2)
    assert.isUndefined(tomlLine("[hive]\nport = 1", "queen.port"))
  })
})
