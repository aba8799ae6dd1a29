import { assert, describe, it } from "@effect/vitest"
import { Explanations, type Explanation } from "../../../src/queen/scheduler/Explanations.ts"

const waiting = (reason: string): Explanation => ({ decision: { _tag: "Wait", reason }, candidates: [] })

describe("Explanations", () => {
  it("keep one for each attempt of a request", () => {
    const explanations = new Explanations()
    explanations.add("a", waiting("1"))
    explanations.add("b", waiting("2"))
    explanations.add("a", waiting("3"))
    assert.deepStrictEqual(explanations.get("a"), [waiting("1"), waiting("3")])
    assert.deepStrictEqual(explanations.get("c"), [])
  })

  it("drop those of the oldest request after 256 requests", () => {
    const explanations = new Explanations()
    for (let i = 0; i <= 256; i++) explanations.add(`r${i}`, waiting("no room"))
    assert.deepStrictEqual(
      [0, 1, 256].map((i) => explanations.get(`r${i}`).length),
      [0, 1, 1]
    )
  })
})
