import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import type { WorkerSpec } from "../../../src/hive/engines/WorkerSpec.ts"
import { isIdle } from "../../../src/hive/workers/idleStop.ts"
import { newEntry, type WorkerEntry } from "../../../src/hive/workers/WorkerEntry.ts"
import { queueName } from "../../../src/hive/workers/WorkerLeases.ts"
import { checkNamed, leastBusy, matches } from "../../../src/hive/workers/WorkerSelection.ts"
import { reservedBytes } from "../../../src/hive/workers/WorkerStarter.ts"

const spec: WorkerSpec = {
  id: "w",
  model: "m",
  modelPath: "/m.gguf",
  worker: "cpu",
  engine: "llama",
  backend: "cpu",
  device: 0,
  contextSize: 2048,
  parallel: 2,
  threads: 1,
  memoryBytes: 100
}

const entry = (changes: Partial<WorkerSpec> = {}, state: Partial<WorkerEntry> = {}): WorkerEntry => ({
  ...newEntry({ ...spec, ...changes }),
  state: "ready",
  ...state
})

describe("the selection of a worker", () => {
  it("matches model, device, engine, context and capabilities", () => {
    const worker = entry({ backend: "cuda", device: 1, capabilities: { tools: false } })
    const yes = [
      { model: "m" },
      { model: "m", device: 1 },
      { model: "m", on: { backend: "gpu" } },
      { model: "m", on: { backend: "cuda", index: 1 } },
      { model: "m", minContext: 2048, engine: "llama" }
    ] as const
    const no = [
      { model: "n" },
      { model: "m", device: 2 },
      { model: "m", device: 0 },
      { model: "m", on: { backend: "cpu" } },
      { model: "m", on: { backend: "cuda", index: 0 } },
      { model: "m", minContext: 2049 },
      { model: "m", contextSize: 4096 },
      { model: "m", engine: "vllm" },
      { model: "m", capabilities: ["tools"] }
    ] as const
    for (const request of yes) assert.isTrue(matches(worker, request), JSON.stringify(request))
    for (const request of no) assert.isFalse(matches(worker, request), JSON.stringify(request))
  })

  it("prefers a free slot, then fewer requests, then the oldest worker", () => {
    const full = entry({ id: "full", parallel: 1 }, { requests: 1 })
    const half = entry({ id: "half", parallel: 4 }, { requests: 2 })
    const least = entry({ id: "least" }, { requests: 1 })
    const younger = entry({ id: "younger" }, { requests: 1 })
    const starting = entry({ id: "starting" }, { state: "starting" })
    const all = [full, half, least, younger, starting]
    assert.strictEqual(leastBusy(all, { model: "m" }, "ready")?.spec.id, "least")
    assert.strictEqual(leastBusy(all, { model: "m" }, "starting")?.spec.id, "starting")
    assert.isUndefined(leastBusy(all, { model: "n" }, "ready"))
  })

  it("refuses a named worker with another model, on another device, or that has failed", () => {
    const failed = entry({}, { state: "failed", reason: "boom" })
    const tag = (worker: WorkerEntry, request: Parameters<typeof checkNamed>[1]) =>
      Result.match(checkNamed(worker, request), { onFailure: (error) => error._tag, onSuccess: () => "ok" })
    assert.strictEqual(tag(entry(), { model: "n" }), "WrongModel")
    assert.strictEqual(tag(entry(), { model: "m", device: 1 }), "WrongDevice")
    assert.strictEqual(tag(entry(), { model: "m", on: { backend: "cuda" } }), "WrongDevice")
    assert.strictEqual(tag(failed, { model: "m" }), "WorkerNotReady")
    assert.strictEqual(tag(entry({}, { state: "starting" }), { model: "m", device: 0 }), "ok")
  })
})

describe("the queue of a request", () => {
  it("is shared by requests that the same workers can take", () => {
    const name = queueName({ model: "m" })
    assert.strictEqual(queueName({ model: "m", minContext: 2000, workerId: "w", answers: 3 }), name)
    assert.strictEqual(
      queueName({ model: "m", minContext: 5000 }),
      queueName({ model: "m", minContext: 8192 })
    )
    for (const other of [{ model: "n" }, { model: "m", minContext: 2049 }, { model: "m", device: 1 }]) {
      assert.notStrictEqual(queueName(other), name)
    }
  })
})

describe("the memory that is reserved on a device", () => {
  it("is that of the workers which are still loading there", () => {
    const loading = { state: "starting" } as const
    const entries = [
      entry({ memoryBytes: 1 }),
      entry({ memoryBytes: 20 }, loading),
      entry({ memoryBytes: 300 }, loading),
      entry({ memoryBytes: 4000, device: 1 }, loading)
    ]
    assert.strictEqual(reservedBytes(entries, { backend: "cpu", index: 0 }), 320)
    assert.strictEqual(reservedBytes(entries, { backend: "cuda", index: 0 }), 0)
  })
})

describe("an idle worker", () => {
  it("is ready and had neither a request nor a waiter for the time", () => {
    assert.isTrue(isIdle(entry({}, { usedAt: 100 }), 1100, 1000))
    assert.isFalse(isIdle(entry({}, { usedAt: 101 }), 1100, 1000))
    assert.isFalse(isIdle(entry({}, { requests: 1 }), 1100, 1000))
    assert.isFalse(isIdle(entry({}, { waiters: 1 }), 1100, 1000))
    assert.isFalse(isIdle(entry({}, { state: "starting" }), 1100, 1000))
  })
})
