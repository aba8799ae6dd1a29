import { assert, describe, it } from "@effect/vitest"
import type { Candidate } from "../../../src/queen/scheduler/decide.ts"
import type { DeviceView, HiveView, WorkerView } from "../../../src/queen/scheduler/Fleet.ts"
import {
  type PlacementRules,
  type PlacementView,
  placeWorker
} from "../../../src/queen/scheduler/placeWorker.ts"
import { gib, hive, limits, worker } from "../../support/fleetFakes.ts"

const now = 100_000
const rules: PlacementRules = { mayEvict: true, mayDrain: false }

const gpu = (id: string, total: number, free = total): DeviceView => ({
  id,
  kind: "gpu",
  totalBytes: total * gib,
  freeBytes: free * gib,
  usable: true
})
const cpu: DeviceView = { ...gpu("cpu-0", 64), kind: "cpu" }

const view = (hives: ReadonlyArray<HiveView>, changes: Partial<PlacementView> = {}): PlacementView => ({
  hives,
  freeBytes: (_hive, { freeBytes }) => freeBytes,
  useOf: (worker: WorkerView) => ({ worker, running: 0, usedAt: 0, loadedAt: 0 }),
  cooldownOf: () => undefined,
  ...changes
})

const place = (fleet: PlacementView, changes: Partial<PlacementRules> = {}) => {
  const candidates: Array<Candidate> = []
  const decision = placeWorker("m", fleet, { ...rules, ...changes }, now, limits, (candidate) =>
    candidates.push(candidate)
  )
  const where = decision._tag === "Place" ? `${decision.hive}/${decision.device}` : decision._tag
  return { candidates, decision, where }
}

describe("placeWorker", () => {
  it("prefers a GPU to a CPU, free memory to an eviction, and more free memory to less", () => {
    const boreas = hive({ id: "boreas", devices: [gpu("gpu-0", 24)] })
    assert.strictEqual(place(view([hive({ devices: [cpu] }), boreas])).where, "boreas/gpu-0")
    assert.strictEqual(place(view([hive({ free: 8 }), boreas])).where, "boreas/gpu-0")
    const full = hive({ free: 2, workers: [worker("w1", { model: "n" })] })
    assert.strictEqual(place(view([full, hive({ id: "boreas", free: 4 })])).where, "boreas/gpu-0")
  })

  it("evicts idle workers where nothing else has room", () => {
    const { decision } = place(view([hive({ free: 2, workers: [worker("w1", { model: "n" })] })]))
    assert.deepStrictEqual(decision._tag === "Place" ? decision.evict.map(({ id }) => id) : undefined, ["w1"])
  })

  it("waits if no worker can be evicted now", () => {
    const full = view([hive({ free: 2, workers: [worker("w1")] })])
    const { candidates, where } = place(full, { mayEvict: false })
    assert.strictEqual(where, "Wait")
    assert.match(candidates[0]?.rejection ?? "", /^needs \d+ bytes, \d+ free, and not enough can be evicted/)
  })

  it("uses only the requested hive and device; an index means a GPU where the hive has one", () => {
    const both = hive({ devices: [cpu, gpu("gpu-0", 16), gpu("gpu-1", 8)] })
    const boreas = hive({ id: "boreas" })
    assert.strictEqual(place(view([both, boreas]), { hive: "boreas" }).where, "boreas/gpu-0")
    assert.strictEqual(place(view([both]), { device: "gpu-1" }).where, "atlas/gpu-1")
    assert.strictEqual(place(view([both]), { device: "cpu-0" }).where, "atlas/cpu-0")
    assert.strictEqual(place(view([both]), { device: "0" }).where, "atlas/gpu-0")
    assert.strictEqual(place(view([hive({ devices: [cpu] })]), { device: "0" }).where, "atlas/cpu-0")
  })

  it("is impossible without the model's file, or a device that could ever hold it", () => {
    assert.deepStrictEqual(place(view([hive({ models: [] })])).decision, {
      _tag: "Impossible",
      reason: "no reachable hive has the model's file"
    })
    assert.deepStrictEqual(place(view([hive({ devices: [gpu("gpu-0", 3)] })])).decision, {
      _tag: "Impossible",
      reason: "it fits no device of the hives that have its file"
    })
    const { candidates } = place(view([hive({ devices: [{ ...gpu("gpu-0", 16), usable: false }] })]))
    assert.strictEqual(candidates[0]?.rejection, "the hive's engine cannot compute on it")
  })

  it("names the hives that have the file and are away", () => {
    const { decision } = place(view([hive({ away: "it does not answer" })]))
    assert.deepStrictEqual(decision, {
      _tag: "Impossible",
      reason: "its file is on hive 'atlas' (it does not answer), and no such hive answers; try again"
    })
  })

  it("avoids places with a cooldown: it fails after failed loads, and waits after a lack of memory", () => {
    const cooldown = { until: now + 5_000, reason: "it crashed", isFailure: true }
    const failed = view([hive()], { cooldownOf: () => cooldown })
    assert.deepStrictEqual(place(failed).decision, {
      _tag: "Failed",
      reason: "it crashed",
      until: now + 5_000
    })
    const noRoom = view([hive()], { cooldownOf: () => ({ ...cooldown, isFailure: false }) })
    assert.strictEqual(place(noRoom).where, "Wait")
    const elsewhere = view([hive(), hive({ id: "boreas", free: 5 })], {
      cooldownOf: ({ hive }) => (hive === "atlas" ? cooldown : undefined)
    })
    assert.strictEqual(place(elsewhere).where, "boreas/gpu-0")
  })

  it("counts the memory that is reserved for loading workers", () => {
    assert.strictEqual(place(view([hive()], { freeBytes: () => gib })).where, "Wait")
  })
})
