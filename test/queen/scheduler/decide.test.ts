import { assert, describe, it } from "@effect/vitest"
import {
  type Candidate,
  chooseWorker,
  type LoadedWorker,
  mismatch,
  type Requirements
} from "../../../src/queen/scheduler/decide.ts"
import { blockTokens, Prefixes } from "../../../src/queen/scheduler/Prefixes.ts"
import { limits, worker } from "../../support/fleetFakes.ts"

const now = 100_000

const loaded = (id: string, changes: Partial<LoadedWorker> = {}): LoadedWorker => ({
  worker: worker(id),
  running: 0,
  usedAt: 0,
  loadedAt: 0,
  outstanding: 0,
  prefixes: new Prefixes(),
  draining: false,
  openUntil: 0,
  faults: 0,
  pausedUntil: 0,
  ...changes
})

const knowing = (prefixes: ReadonlyArray<string>) => {
  const known = new Prefixes()
  known.add(prefixes)
  return known
}

const requirements: Requirements = { model: "m", tokens: 100, prefixes: ["a", "b"] }

const choose = (workers: ReadonlyArray<LoadedWorker>, changes: Partial<Requirements> = {}) =>
  chooseWorker(workers, { ...requirements, ...changes }, now, limits)?.worker.id

describe("mismatch", () => {
  it("names the first constraint that a worker does not meet", () => {
    const one = worker("w1", { capabilities: { tools: false } })
    const cases = [
      [{ hive: "boreas" }, "it is not on hive boreas"],
      [{ device: "gpu-1" }, "it is on gpu-0"],
      [{ device: "1" }, "it is on gpu-0"],
      [{ engine: "vllm" }, "its engine is llama"],
      [{ contextSize: 5000 }, "its context is 4096 tokens"],
      [{ minContext: 5000 }, "its context is 4096 tokens"],
      [{ capabilities: ["tools"] }, "it lacks a needed capability: tools"]
    ] as const
    for (const [needs, reason] of cases) assert.strictEqual(mismatch(one, needs), reason)
  })

  it("is undefined for a worker that meets all constraints, or may meet them", () => {
    const needs = { hive: "atlas", device: "0", engine: "llama", contextSize: 4096, minContext: 1 }
    assert.isUndefined(mismatch(worker("w1"), { ...needs, capabilities: ["tools"] }))
    assert.isUndefined(mismatch(worker("w1"), {}))
  })
})

describe("chooseWorker", () => {
  it("chooses the worker with the fewest outstanding tokens, and among equals the one idle for longer", () => {
    assert.strictEqual(choose([loaded("w1", { outstanding: 9 }), loaded("w2", { outstanding: 8 })]), "w2")
    assert.strictEqual(choose([loaded("w1", { usedAt: 7 }), loaded("w2", { usedAt: 6 })]), "w2")
    assert.isUndefined(choose([]))
  })

  it("prefers a cached prefix, unless the worker has far more outstanding tokens than another", () => {
    const cached = (outstanding: number) => loaded("w2", { outstanding, prefixes: knowing(["a"]) })
    assert.strictEqual(choose([loaded("w1"), cached(blockTokens - 1)]), "w2")
    assert.strictEqual(choose([loaded("w1"), cached(blockTokens + 1)]), "w1")
    const twoBlocks = loaded("w2", { outstanding: limits.imbalanceTokens, prefixes: knowing(["a", "b"]) })
    assert.strictEqual(choose([loaded("w1", { outstanding: limits.imbalanceTokens - 1 }), twoBlocks]), "w2")
    assert.strictEqual(choose([loaded("w1"), cached(limits.imbalanceTokens + 1)]), "w1")
  })

  it("rejects workers that cannot start the request now, with the reason", () => {
    const rejected = [
      [loaded("w1", { worker: worker("w1", { state: "starting" }) }), "it is starting"],
      [loaded("w1", { draining: true }), "it is about to be stopped"],
      [loaded("w1", { openUntil: now + 1, faults: 2 }), "circuit breaker open after 2 consecutive failures"],
      [loaded("w1", { pausedUntil: now + 1 }), "it recently reported that it is full"],
      [loaded("w1", { running: 2 }), "all its 2 slots are taken"],
      [loaded("w1", { faults: 2, running: 1 }), "circuit breaker half-open"]
    ] as const
    for (const [one, rejection] of rejected) {
      const candidates: Array<Candidate> = []
      const chosen = chooseWorker([one], requirements, now, limits, (candidate) => candidates.push(candidate))
      assert.isUndefined(chosen, rejection)
      assert.deepStrictEqual(candidates, [{ where: "atlas/w1", rejection }])
    }
  })

  it("accepts workers again at the end of a pause, and one request on a half-open circuit breaker", () => {
    const accepted = [
      loaded("w1", { worker: worker("w1", { state: "busy" }), running: 1 }),
      loaded("w1", { openUntil: now, faults: 2 }),
      loaded("w1", { pausedUntil: now }),
      loaded("w1", { faults: 1, running: 1 })
    ]
    for (const one of accepted) assert.strictEqual(choose([one]), "w1")
  })
})
