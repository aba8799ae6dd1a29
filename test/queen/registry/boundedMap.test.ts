import { assert, describe, it } from "@effect/vitest"
import { setBounded } from "../../../src/queen/registry/boundedMap.ts"

describe("setBounded", () => {
  it("removes the entry that was set the longest ago, beyond 1024 entries", () => {
    const map = new Map<string, number>()
    for (let i = 0; i < 1024; i++) setBounded(map, `h${i}`, i)
    setBounded(map, "h0", 5)
    assert.strictEqual(map.size, 1024)
    setBounded(map, "new", 6)
    assert.deepStrictEqual([map.size, map.get("h0"), map.has("h1"), map.has("h2")], [1024, 5, false, true])
  })
})
