import { assert, describe, it } from "@effect/vitest"
import { TokenBudget } from "../../../src/gateway/keys/TokenBudget.ts"

describe("TokenBudget", () => {
  it("shares a limit among reservations, and gives back what was not used", () => {
    const budget = new TokenBudget(200, 0)
    assert.deepStrictEqual(budget.reserve(120, 200, 0), { reserved: 120 })
    assert.deepStrictEqual(budget.reserve(120, 200, 0), { waitSeconds: 12 })
    assert.deepStrictEqual(budget.reserve(80, 200, 0), { reserved: 80 })
    budget.settle(120, 20, 0)
    assert.deepStrictEqual(budget.reserve(100, 200, 0), { reserved: 100 })
    assert.deepStrictEqual(budget.reserve(1, 200, 0), { waitSeconds: 0.3 })
  })

  it("lets a request that is alone run up a debt, which is paid back before the next", () => {
    const budget = new TokenBudget(60, 0)
    assert.deepStrictEqual(budget.reserve(1000, 60, 0), { reserved: 60 })
    budget.settle(60, 180, 0)
    assert.deepStrictEqual(budget.reserve(1, 60, 0), { waitSeconds: 121 })
    assert.deepStrictEqual(budget.reserve(1, 60, 120_000), { waitSeconds: 1 })
    assert.deepStrictEqual(budget.reserve(1, 60, 121_000), { reserved: 1 })
  })

  it("never holds more than the limit, follows a changed limit, and survives a clock that is set back", () => {
    const budget = new TokenBudget(60, 1_000_000)
    assert.deepStrictEqual(budget.reserve(60, 60, 9_000_000), { reserved: 60 })
    budget.settle(60, 0, 9_000_000)
    assert.deepStrictEqual(budget.reserve(60, 60, 9_000_000), { reserved: 60 })
    assert.deepStrictEqual(budget.reserve(10, 60, 0), { waitSeconds: 10 })
    assert.deepStrictEqual(budget.reserve(10, 600, 1000), { reserved: 10 })
  })
})
