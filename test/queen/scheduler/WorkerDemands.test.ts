import { assert, describe, it } from "@effect/vitest"
import type { QueuedRequest } from "../../../src/queen/scheduler/messages.ts"
import { haveSameConstraints, WorkerDemands } from "../../../src/queen/scheduler/WorkerDemands.ts"

const scaleAfter = 5_000

const request = (id: string, changes: Partial<QueuedRequest> = {}): QueuedRequest => ({
  id,
  model: "m",
  tokens: 100,
  prefixes: [],
  key: "",
  priority: 0,
  askedAt: 1_000,
  deadline: 60_000,
  ...changes
})

const demands = () => new WorkerDemands("m", scaleAfter)
const withdrawn = [{ _tag: "Unwanted", model: "m" }] as const

describe("haveSameConstraints", () => {
  it("compares hive, device, engine and capabilities, but no sizes", () => {
    const left = { hive: "atlas", device: "gpu-0", engine: "llama", capabilities: ["tools"] } as const
    assert.isTrue(haveSameConstraints(left, { ...left, contextSize: 5, minContext: 6 }))
    for (const other of [{ hive: "boreas" }, { device: "1" }, { engine: "vllm" }, { capabilities: [] }]) {
      assert.isFalse(haveSameConstraints(left, { ...left, ...other }), JSON.stringify(other))
    }
  })
})

describe("WorkerDemands", () => {
  it("demands a worker at once for a request that none can serve, and only once", () => {
    const one = request("a")
    const model = demands()
    const [event] = model.update([one], one, 1_000)
    assert.strictEqual(event?._tag === "Wanted" && event.demand.extra, false)
    assert.deepStrictEqual(model.update([one], one, 2_000), [])
    model.reset()
    assert.lengthOf(model.update([one], one, 3_000), 1)
  })

  it("demands an extra worker when requests have waited for busy workers for long", () => {
    const one = request("a")
    const model = demands()
    assert.deepStrictEqual(model.update([one], undefined, 1_000 + scaleAfter - 1), [])
    const [event] = model.update([one], undefined, 1_000 + scaleAfter)
    assert.strictEqual(event?._tag === "Wanted" && event.demand.extra, true)
  })

  it("withdraws a demand when nothing waits, or when busy workers will do", () => {
    const one = request("a")
    const model = demands()
    assert.deepStrictEqual(model.update([], undefined, 1_000), [])
    model.update([one], one, 1_000)
    assert.deepStrictEqual(model.update([one], undefined, 2_000), withdrawn)
    model.update([one], one, 3_000)
    assert.deepStrictEqual(model.update([], undefined, 4_000), withdrawn)
  })

  it("asks for a worker that serves all waiting requests with the same constraints", () => {
    const one = request("a", { device: "gpu-0", minContext: 100, parallel: 2 })
    const waiting = [
      one,
      request("b", { device: "gpu-0", minContext: 300, askedAt: 500 }),
      request("c", { device: "gpu-1", minContext: 900, askedAt: 1 })
    ]
    const [event] = demands().update(waiting, one, 1_000)
    assert.deepStrictEqual(event?._tag === "Wanted" ? event.demand : undefined, {
      model: "m",
      since: 500,
      extra: false,
      hive: undefined,
      device: "gpu-0",
      parallel: 2,
      engine: undefined,
      capabilities: undefined,
      minContext: 300
    })
    const [fixed] = demands().update([request("a", { contextSize: 512, minContext: 9 })], request("a"), 1_000)
    assert.deepStrictEqual(
      fixed?._tag === "Wanted" ? [fixed.demand.contextSize, fixed.demand.minContext] : undefined,
      [512, undefined]
    )
  })
})
