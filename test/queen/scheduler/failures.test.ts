import { assert, describe, it } from "@effect/vitest"
import { hive, inShort, limits, Scheduling, worker } from "./fleetFakes.ts"

describe("an engine that fails requests", () => {
  it("is not rested, and no copy of it is loaded", () => {
    const scheduling = new Scheduling(hive({ workers: [worker("w1")] }))
    for (let i = 0; i < 3 * limits.breakerFaults; i++) {
      assert.deepStrictEqual(inShort(scheduling.ask(`r${i}`)), [`run r${i} on w1`])
      assert.deepStrictEqual(inShort(scheduling.end(`r${i}`, "engine")), [])
    }
    assert.deepStrictEqual(inShort(scheduling.tick(limits.scaleAfter)), [])
  })
})

describe("a request that takes a worker only if it serves already", () => {
  const again = { avoid: ["atlas/w1"], servingOnly: true }

  it("runs on another one, and is refused where there is none", () => {
    const both = new Scheduling(hive({ workers: [worker("w1"), worker("w2")] }))
    assert.deepStrictEqual(inShort(both.ask("a", again)), ["run a on w2"])
    for (const workers of [[], [worker("w1")], [worker("w1"), worker("w2", { state: "starting" })]]) {
      const scheduling = new Scheduling(hive({ workers }))
      assert.deepStrictEqual(inShort(scheduling.ask("a", again)), ["refuse a: NoOtherWorker"])
      assert.deepStrictEqual(inShort(scheduling.tick(limits.scaleAfter)), [])
    }
  })

  it("waits for one that is busy, until that has gone, and never has one loaded", () => {
    const two = [worker("w1"), worker("w2", { slots: 1 })]
    const scheduling = new Scheduling(hive({ workers: two }))
    scheduling.ask("a", again)
    assert.deepStrictEqual(inShort(scheduling.ask("b", again)), ["b waits in 1"])
    assert.deepStrictEqual(inShort(scheduling.tick(limits.scaleAfter)), [])
    assert.deepStrictEqual(inShort(scheduling.fleet(hive({ workers: [worker("w1")] }))), [
      "refuse b: NoOtherWorker"
    ])
    assert.strictEqual(scheduling.core.load.waiting, 0)
  })
})
