import { assert, describe, it } from "@effect/vitest"
import { brokenJson } from "../../src/operation/brokenJson.ts"

describe("brokenJson", () => {
  it("reports the position of the error", () => {
    const texts = [
      ['{"a": x}', 'unexpected "x" at position 6 (line 1, column 7)'],
      ["{'a': 1}", `unexpected "'" at position 1 (line 1, column 2)`],
      ['{"a": 1,}', 'unexpected "}" at position 8 (line 1, column 9)'],
      ['{\n  "a": 1\n  "b": 2\n}', 'unexpected "\\"" at position 13 (line 3, column 3)'],
      ['{"a": [1, 2, nul]}', 'unexpected "]" at position 16 (line 1, column 17)'],
      ['{"a": 1} trailing', 'unexpected "t" at position 9 (line 1, column 10)'],
      ["<html></html>", 'unexpected "<" at position 0 (line 1, column 1)'],
      ['{"text": "a\u0001b"}', 'unexpected "\\u0001" at position 11 (line 1, column 12)'],
      ['{"a": 😀}', 'unexpected "😀" at position 6 (line 1, column 7)'],
      ['{"messages": [{"role"', "it ends too early, after 21 characters"],
      ['{"a": "unfinished', "it ends too early, after 17 characters"],
      ["", "it is empty"],
      [" \n", "it is empty"]
    ] as const
    for (const [text, problem] of texts) assert.strictEqual(brokenJson(text), problem, text)
  })

  it("is undefined for valid JSON, and does not search long texts", () => {
    for (const text of ["{}", "5", '"a"', "null", '{"a":[1,{"b":"\\u0001"}]}']) {
      assert.isUndefined(brokenJson(text))
    }
    const long = `{"a": "${"x".repeat(1_000_000)}", "b": y}`
    assert.strictEqual(brokenJson(long), "it cannot be parsed")
  })
})
