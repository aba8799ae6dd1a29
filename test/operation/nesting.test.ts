import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"
import { parseKeys } from "../../src/access/ApiKey.ts"
import { readFailure, readJson } from "../../src/job/log/JobEvent.ts"
import { isTooDeep, isValueTooDeep, maxDepth } from "../../src/operation/nesting.ts"

const lists = (depth: number) => "[".repeat(depth) + "]".repeat(depth)
const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`

describe("nesting", () => {
  it("counts lists and objects, not brackets in strings", () => {
    for (const nested of [lists, objects]) {
      assert.isFalse(isTooDeep(nested(maxDepth)))
      assert.isTrue(isTooDeep(nested(maxDepth + 1)))
      assert.isFalse(isValueTooDeep(JSON.parse(nested(maxDepth))))
      assert.isTrue(isValueTooDeep(JSON.parse(nested(maxDepth + 2))))
    }
    const text = "[".repeat(1000)
    for (const string of [text, `\\"${text}`, `${text}\\\\`, `"${text}"`, `\\\\\\"${text}`]) {
      assert.isFalse(isTooDeep(JSON.stringify({ content: string, list: [[string]] })))
    }
    // A string that ends in an escaped backslash hides nothing that follows it.
    assert.isTrue(isTooDeep(`["\\\\",${lists(maxDepth)}]`))
    assert.isFalse(isTooDeep(`[${"[],".repeat(5000)}[]]`))
    assert.isFalse(isTooDeep('"never ends'))
    assert.isTrue(isTooDeep(lists(1_000_000)))
  })

  it("does not cause a defect in a hive's event or in a file of rbee", () => {
    const deep = lists(100_000)
    assert.isTrue(Option.isNone(readJson(deep)))
    assert.isTrue(Option.isNone(readFailure(`{"error":{"code":"X","message":"x","details":${deep}}}`)))
    assert.isTrue(Option.isSome(readJson(lists(maxDepth))))
    for (const text of [deep, `{"keys":${deep}}`, `{"keys":[{"name":${deep}}]}`, objects(100_000)]) {
      assert.strictEqual(parseKeys(text)._tag, "Failure")
    }
  })
})
