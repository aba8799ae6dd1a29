import { assert, describe, it } from "@effect/vitest"
import { JobFailed } from "../../../src/job/errors.ts"
import { ConnectionFailed, HiveTimeout } from "../../../src/queen/forward/errors.ts"
import { loadFaultOf } from "../../../src/queen/scheduler/loadFault.ts"
import type { LoadFault } from "../../../src/queen/scheduler/messages.ts"
import { gib, hive, inShort, limits, Scheduling, worker } from "../../support/fleetFakes.ts"

describe("an engine that fails requests", () => {
  it("keeps its circuit breaker closed, and no second worker is loaded", () => {
    const scheduling = new Scheduling(hive({ workers: [worker("w1")] }))
    for (let i = 0; i < 3 * limits.breakerFaults; i++) {
      assert.deepStrictEqual(inShort(scheduling.ask(`r${i}`)), [`run r${i} on w1`])
      assert.deepStrictEqual(inShort(scheduling.end(`r${i}`, "engine")), [])
    }
    assert.deepStrictEqual(inShort(scheduling.tick(limits.scaleAfter)), [])
  })
})

describe("a request for a worker that serves already", () => {
  const again = { avoid: ["atlas/w1"], servingOnly: true }

  it("runs on another worker, and is refused if there is none", () => {
    const both = new Scheduling(hive({ workers: [worker("w1"), worker("w2")] }))
    assert.deepStrictEqual(inShort(both.ask("a", again)), ["run a on w2"])
    for (const workers of [[], [worker("w1")], [worker("w1"), worker("w2", { state: "starting" })]]) {
      const scheduling = new Scheduling(hive({ workers }))
      assert.deepStrictEqual(inShort(scheduling.ask("a", again)), ["refuse a: NoOtherWorker"])
      assert.deepStrictEqual(inShort(scheduling.tick(limits.scaleAfter)), [])
    }
  })

  it("waits for a busy worker as long as it exists, and never has one loaded", () => {
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

describe("a load that fails", () => {
  const models = [
    { id: "m", memoryBytes: 4 * gib },
    { id: "n", memoryBytes: 4 * gib }
  ]
  const failLoad = (scheduling: Scheduling, number: number, fault: LoadFault) =>
    inShort(
      scheduling.core.handle(
        { _tag: "LoadFailed", load: `load-${number}`, reason: `reason ${number}`, fault },
        scheduling.now
      )
    )

  it("because of its model starts a cooldown of that model on that hive, and of no other", () => {
    const scheduling = new Scheduling(hive({ models }))
    scheduling.ask("a")
    assert.deepStrictEqual(failLoad(scheduling, 1, "model"), ["refuse a: LoadFailed"])
    assert.include(inShort(scheduling.ask("b", { model: "n" })), "load n on atlas/gpu-0")
    // During the cooldown, a refusal names the reason and the time until the next load.
    scheduling.now += 4_000
    const [, refused] = scheduling.ask("c")
    assert.deepStrictEqual(refused, {
      _tag: "Refuse",
      id: "c",
      refusal: { _tag: "LoadFailed", reason: "reason 1", retryAfterMs: limits.loadPause - 4_000 }
    })
    scheduling.tick(limits.loadPause - 4_000)
    assert.include(inShort(scheduling.ask("d")), "load m on atlas/gpu-0")
  })

  it("is repeated on another hive, when that has free memory", () => {
    const full = hive({ id: "boreas", models, free: 0 })
    const scheduling = new Scheduling(hive({ models }), full)
    scheduling.ask("a")
    assert.deepStrictEqual(failLoad(scheduling, 1, "model"), [])
    assert.deepStrictEqual(inShort(scheduling.fleet(hive({ models }), hive({ id: "boreas", models }))), [
      "load m on boreas/gpu-0"
    ])
    assert.deepStrictEqual(failLoad(scheduling, 2, "model"), ["refuse a: LoadFailed"])
  })

  it("starts no cooldown for another file of the same name", () => {
    const of = (revision: string) => hive({ models: [{ id: "m", revision, memoryBytes: 4 * gib }] })
    const scheduling = new Scheduling(of("one"))
    scheduling.ask("a")
    failLoad(scheduling, 1, "model")
    assert.include(inShort(scheduling.ask("b")), "refuse b: LoadFailed")
    scheduling.fleet(of("two"))
    assert.include(inShort(scheduling.ask("c")), "load m on atlas/gpu-0")
  })

  it("for a large context starts no cooldown for a smaller one", () => {
    const usual = { contextSize: 4096, slots: 1, tokenBytes: 1024 }
    const scheduling = new Scheduling(hive({ models: [{ id: "m", memoryBytes: 4 * gib, usual }] }))
    scheduling.ask("large", { contextSize: 65_536 })
    scheduling.ask("small")
    // The model may load with the smaller context.
    assert.deepStrictEqual(failLoad(scheduling, 1, "model"), [
      "refuse large: LoadFailed",
      "load m on atlas/gpu-0"
    ])
    assert.include(inShort(scheduling.ask("larger", { contextSize: 100_000 })), "larger waits in 2")
    const loaded = scheduling.core.handle(
      { _tag: "Loaded", load: "load-2", worker: worker("w1") },
      scheduling.now
    )
    assert.deepStrictEqual(inShort(loaded), ["run small on w1", "load m on atlas/gpu-0"])
  })

  it("whose worker was killed is repeated at once, twice", () => {
    const scheduling = new Scheduling(hive({ models }))
    scheduling.ask("a")
    assert.deepStrictEqual(failLoad(scheduling, 1, "killed"), ["load m on atlas/gpu-0"])
    assert.deepStrictEqual(failLoad(scheduling, 2, "killed"), ["load m on atlas/gpu-0"])
    assert.deepStrictEqual(failLoad(scheduling, 3, "killed"), ["refuse a: LoadFailed"])
    assert.include(inShort(scheduling.ask("b")), "refuse b: LoadFailed")
    assert.include(inShort(scheduling.ask("c", { model: "n" })), "load n on atlas/gpu-0")
    // A successful load resets the count.
    scheduling.core.handle(
      { _tag: "Loaded", load: "load-4", worker: worker("w", { model: "n" }) },
      scheduling.now
    )
    scheduling.tick(limits.loadPause)
    assert.include(inShort(scheduling.ask("d")), "load m on atlas/gpu-0")
    assert.deepStrictEqual(failLoad(scheduling, 5, "killed"), ["load m on atlas/gpu-0"])
  })

  it("because of its hive is repeated on another hive, or on that hive after a second", () => {
    const alone = new Scheduling(hive({ models }))
    alone.ask("a")
    assert.deepStrictEqual(failLoad(alone, 1, "hive"), ["refuse a: LoadFailed"])
    alone.tick(1_000)
    assert.include(inShort(alone.ask("b")), "load m on atlas/gpu-0")

    const two = new Scheduling(hive({ models }), hive({ id: "boreas", models }))
    two.ask("a")
    assert.deepStrictEqual(failLoad(two, 1, "hive"), ["load m on boreas/gpu-0"])
  })
})

describe("loadFaultOf", () => {
  const reported = (code: string, details?: { readonly killed: boolean }) =>
    new JobFailed({ code, sentence: "no", ...(details === undefined ? {} : { details }) })

  it("distinguishes a broken model, a killed worker, a failed hive and a full one", () => {
    const faults = [
      [reported("WorkerFailed", { killed: false }), "model"],
      [reported("WorkerFailed"), "model"],
      [reported("GgufError"), "model"],
      [reported("EngineRefusesModel"), "model"],
      [reported("WorkerFailed", { killed: true }), "killed"],
      [reported("ModelDoesNotFit"), "full"],
      [reported("TooManyJobs"), "full"],
      [reported("StateNotWritable"), "hive"],
      [new ConnectionFailed({ hive: "atlas", reason: "reset" }), "hive"],
      [new HiveTimeout({ hive: "atlas", limit: "idle", seconds: 60 }), "hive"]
    ] as const
    for (const [error, fault] of faults) assert.strictEqual(loadFaultOf(error), fault, error.message)
  })
})
