import { assert, describe, it } from "@effect/vitest"
import { Prefixes, prefixesOf } from "../../../src/queen/scheduler/Prefixes.ts"

const block = (character: string) => character.repeat(1024)

describe("prefixesOf", () => {
  it("has one hash for each complete block, which depends on all text before", () => {
    assert.deepStrictEqual(prefixesOf("a".repeat(1023)), [])
    const [first, second] = prefixesOf(block("a") + block("b") + "rest")
    assert.lengthOf(prefixesOf(block("a") + block("b") + "rest"), 2)
    assert.strictEqual(prefixesOf(block("a") + block("c"))[0], first)
    assert.notStrictEqual(prefixesOf(block("c") + block("b"))[1], second)
  })

  it("is bounded", () => {
    assert.lengthOf(prefixesOf("a".repeat(1024 * 300)), 256)
  })
})

describe("Prefixes", () => {
  it("share the blocks from the start of a prompt up to the first unknown one", () => {
    const prefixes = new Prefixes()
    prefixes.add(["a", "b", "d"])
    assert.strictEqual(prefixes.shared(["a", "b", "c", "d"]), 2)
    assert.strictEqual(prefixes.shared(["a", "b"]), 2)
    assert.strictEqual(prefixes.shared(["c", "a"]), 0)
    assert.strictEqual(prefixes.shared([]), 0)
  })

  it("forget those that were not used for the longest", () => {
    const prefixes = new Prefixes()
    prefixes.add(["old", "used"])
    prefixes.add(Array.from({ length: 4094 }, (_, index) => `p${index}`))
    prefixes.add(["used", "new"])
    assert.deepStrictEqual(
      ["old", "used", "new", "p0"].map((prefix) => prefixes.shared([prefix])),
      [0, 1, 1, 1]
    )
  })
})
