import { assert, describe, it } from "@effect/vitest"
import type { WorkerUse } from "../../../src/queen/scheduler/decide.ts"
import { evictionCandidates, evictionCost, selectVictims } from "../../../src/queen/scheduler/eviction.ts"
import type { WorkerView } from "../../../src/queen/scheduler/Fleet.ts"
import { gib, hive, worker } from "../../support/fleetFakes.ts"

const now = 100_000
const minResidency = 20_000

const use = (id: string, changes: Partial<WorkerUse> = {}, view: Partial<WorkerView> = {}): WorkerUse => ({
  worker: worker(id, view),
  running: 0,
  usedAt: 0,
  loadedAt: 0,
  ...changes
})

const idsOf = (uses: ReadonlyArray<WorkerUse> | undefined) => uses?.map(({ worker }) => worker.id)

describe("evictionCost", () => {
  it("grows with the memory to load again, and shrinks with the idle time", () => {
    assert.isAbove(
      evictionCost(use("a", {}, { memoryBytes: 8 * gib }), now),
      evictionCost(use("a", {}, { memoryBytes: 4 * gib }), now)
    )
    assert.isAbove(evictionCost(use("a", { usedAt: now - 1_000 }), now), evictionCost(use("a"), now))
  })
})

describe("selectVictims", () => {
  const four = ["a", "b", "c"].map((id) => use(id))

  it("takes the first candidates, as many as are needed", () => {
    assert.deepStrictEqual(idsOf(selectVictims(6 * gib, 4 * gib, four)), ["a"])
    assert.deepStrictEqual(idsOf(selectVictims(12 * gib, 4 * gib, four)), ["a", "b"])
    assert.deepStrictEqual(idsOf(selectVictims(4 * gib, 4 * gib, four)), [])
  })

  it("spares those that a later, larger victim makes unnecessary", () => {
    const candidates = [
      use("small", {}, { memoryBytes: 2 * gib }),
      use("large", {}, { memoryBytes: 8 * gib })
    ]
    assert.deepStrictEqual(idsOf(selectVictims(8 * gib, 0, candidates)), ["large"])
  })

  it("selects none if all together do not suffice", () => {
    assert.isUndefined(selectVictims(17 * gib, 4 * gib, four))
  })
})

describe("evictionCandidates", () => {
  const [device] = hive().devices
  const rules = { mayEvict: true, mayDrain: false }

  const candidates = (uses: ReadonlyArray<WorkerUse>, changed = rules) => {
    assert.isDefined(device)
    const useOf = (one: WorkerView) => uses.find(({ worker }) => worker === one)
    const workers = uses.map(({ worker }) => worker)
    return idsOf(evictionCandidates(hive({ workers }), device, useOf, changed, now, minResidency))
  }

  it("are idle workers of the device that serve and have been there for their minimum residency", () => {
    const uses = [
      use("idle"),
      use("busy", { running: 1 }),
      use("new", { loadedAt: now - minResidency + 1 }),
      use("elsewhere", {}, { device: "gpu-1" }),
      use("starting", {}, { state: "starting" })
    ]
    assert.deepStrictEqual(candidates(uses), ["idle"])
  })

  it("come by ascending cost, and busy ones last, if they may be drained", () => {
    const uses = [
      use("busy", { running: 1 }),
      use("recent", { usedAt: now - 1_000 }),
      use("idle"),
      use("large", {}, { memoryBytes: 16 * gib })
    ]
    assert.deepStrictEqual(candidates(uses, { mayEvict: true, mayDrain: true }), [
      "idle",
      "large",
      "recent",
      "busy"
    ])
  })

  it("are none without permission, and never workers of unknown use", () => {
    assert.deepStrictEqual(candidates([use("idle")], { mayEvict: false, mayDrain: false }), [])
    assert.isDefined(device)
    const workers = [worker("unknown")]
    assert.deepStrictEqual(
      evictionCandidates(hive({ workers }), device, () => undefined, rules, now, minResidency),
      []
    )
  })
})
