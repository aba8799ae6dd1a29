import { assert, describe, it } from "@effect/vitest"
import type { WorkerUse } from "../../../src/queen/scheduler/decide.ts"
import { makeRoom, minBytes, workerSizes } from "../../../src/queen/scheduler/workerSizes.ts"
import { worker } from "../../support/fleetFakes.ts"

/** 1000 bytes with 400 tokens in one slot; a byte for each token more or less. */
const model = {
  id: "m",
  memoryBytes: 1000,
  usual: { contextSize: 400, slots: 1, tokenBytes: 1, minContext: 100, maxContext: 1600 }
}

const victim = (id: string, memoryBytes: number): WorkerUse => ({
  worker: worker(id, { memoryBytes }),
  running: 0,
  usedAt: 0,
  loadedAt: 0
})

describe("workerSizes", () => {
  it("is the usual memory alone for a model of an older hive", () => {
    assert.deepStrictEqual(workerSizes({ id: "m", memoryBytes: 7 }, { contextSize: 9 }), [{ bytes: 7 }])
  })

  it("begins with the usual size, and leaves the choice of a smaller one to the hive", () => {
    assert.deepStrictEqual(workerSizes(model, {}), [
      { bytes: 1000, shape: undefined },
      { bytes: 800, shape: undefined },
      { bytes: 700, shape: undefined }
    ])
  })

  it("is one size for a fixed context length, with the requested slots", () => {
    assert.deepStrictEqual(workerSizes(model, { contextSize: 500, parallel: 2 }), [
      { bytes: 1600, shape: undefined }
    ])
  })

  it("fixes the context length for a prompt that needs more than the minimum", () => {
    const [best] = workerSizes(model, { minContext: 500 })
    assert.deepStrictEqual(best, { bytes: 1112, shape: { contextSize: 512, slots: 1 } })
  })
})

describe("makeRoom", () => {
  const sizes = workerSizes(model, {})
  const none = () => assert.fail("nothing must be evicted")

  it("takes the largest size that fits the free memory, without victims", () => {
    assert.deepStrictEqual(makeRoom(sizes, 1000, none), { size: sizes[0], victims: [] })
    assert.deepStrictEqual(makeRoom(sizes, 999, none)?.size.bytes, 800)
  })

  it("evicts for the smallest size, and then takes the largest that fits", () => {
    const victims = [victim("a", 200), victim("b", 300)]
    const room = makeRoom(sizes, 600, () => victims)
    assert.deepStrictEqual(room?.victims, [victims[0]])
    assert.strictEqual(room?.size.bytes, 800)
  })

  it("is undefined if not enough can be evicted", () => {
    assert.isUndefined(makeRoom(sizes, 600, () => [victim("a", 99)]))
  })

  it("needs at least the bytes of the smallest size", () => {
    assert.strictEqual(minBytes(sizes), 700)
  })
})
