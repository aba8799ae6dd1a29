import { assert, describe, it } from "@effect/vitest"
import { JobFailed } from "../../../src/job/errors.ts"
import { ConnectionFailed, HiveTimeout } from "../../../src/queen/forward/errors.ts"
import { loadFaultOf } from "../../../src/queen/scheduler/loadFault.ts"
import type { LoadFault } from "../../../src/queen/scheduler/messages.ts"
import { gib, hive, inShort, limits, Scheduling, worker } from "../../support/fleetFakes.ts"

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

  it("because of its model rests that model on that hive, and holds back no other", () => {
    const scheduling = new Scheduling(hive({ models }))
    scheduling.ask("a")
    assert.deepStrictEqual(failLoad(scheduling, 1, "model"), ["refuse a: LoadFailed"])
    assert.include(inShort(scheduling.ask("b", { model: "n" })), "load n on atlas/gpu-0")
    // While it rests, the reason is remembered, with the time after which it is tried again.
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

  it("is tried on another hive, and waits for room there", () => {
    const full = hive({ id: "boreas", models, free: 0 })
    const scheduling = new Scheduling(hive({ models }), full)
    scheduling.ask("a")
    assert.deepStrictEqual(failLoad(scheduling, 1, "model"), [])
    assert.deepStrictEqual(inShort(scheduling.fleet(hive({ models }), hive({ id: "boreas", models }))), [
      "load m on boreas/gpu-0"
    ])
    assert.deepStrictEqual(failLoad(scheduling, 2, "model"), ["refuse a: LoadFailed"])
  })

  it("rests no other file of the same name", () => {
    const of = (revision: string) => hive({ models: [{ id: "m", revision, memoryBytes: 4 * gib }] })
    const scheduling = new Scheduling(of("one"))
    scheduling.ask("a")
    failLoad(scheduling, 1, "model")
    assert.include(inShort(scheduling.ask("b")), "refuse b: LoadFailed")
    scheduling.fleet(of("two"))
    assert.include(inShort(scheduling.ask("c")), "load m on atlas/gpu-0")
  })

  it("for a large context rests no smaller one", () => {
    const usual = { contextSize: 4096, slots: 1, tokenBytes: 1024 }
    const scheduling = new Scheduling(hive({ models: [{ id: "m", memoryBytes: 4 * gib, usual }] }))
    scheduling.ask("large", { contextSize: 65_536 })
    scheduling.ask("small")
    // What fails with the large context may work for who needs a small one.
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

  it("because it was killed is repeated at once, a few times", () => {
    const scheduling = new Scheduling(hive({ models }))
    scheduling.ask("a")
    assert.deepStrictEqual(failLoad(scheduling, 1, "killed"), ["load m on atlas/gpu-0"])
    assert.deepStrictEqual(failLoad(scheduling, 2, "killed"), ["load m on atlas/gpu-0"])
    assert.deepStrictEqual(failLoad(scheduling, 3, "killed"), ["refuse a: LoadFailed"])
    assert.include(inShort(scheduling.ask("b")), "refuse b: LoadFailed")
    assert.include(inShort(scheduling.ask("c", { model: "n" })), "load n on atlas/gpu-0")
    // One that came up in between starts the count again.
    scheduling.core.handle(
      { _tag: "Loaded", load: "load-4", worker: worker("w", { model: "n" }) },
      scheduling.now
    )
    scheduling.tick(limits.loadPause)
    assert.include(inShort(scheduling.ask("d")), "load m on atlas/gpu-0")
    assert.deepStrictEqual(failLoad(scheduling, 5, "killed"), ["load m on atlas/gpu-0"])
  })

  it("because of its hive says nothing of the model: it is loaded elsewhere, or there in a moment", () => {
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

  it("tells a broken model from a worker that was killed, a hive that failed and one that is full", () => {
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
