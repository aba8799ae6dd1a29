import { assert, describe, it } from "@effect/vitest"
import { LoadPeriods } from "../../../src/queen/scheduler/LoadPeriods.ts"

describe("LoadPeriods", () => {
  it("measure the part of a wait in which the model was loading", () => {
    const periods = new LoadPeriods()
    assert.strictEqual(periods.during("m", 0, 100), 0)
    const end = periods.start("m", 40)
    assert.strictEqual(periods.during("m", 0, 100), 60)
    assert.strictEqual(periods.during("m", 70, 100), 30)
    end(80)
    assert.strictEqual(periods.during("m", 0, 100), 40)
    assert.strictEqual(periods.during("m", 90, 100), 0)
    assert.strictEqual(periods.during("n", 0, 100), 0)
  })

  it("are those of the last load", () => {
    const periods = new LoadPeriods()
    const end = periods.start("m", 10)
    periods.start("m", 50)(60)
    end(1_000)
    assert.strictEqual(periods.during("m", 0, 100), 10)
  })
})
