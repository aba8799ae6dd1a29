import { assert, describe, it } from "@effect/vitest"
import { gib, hive, inShort, limits, Scheduling, worker } from "../../support/fleetFakes.ts"

const two = hive({ workers: [worker("w1"), worker("w2")] })

describe("the worker of a request", () => {
  it("is the one with the fewest outstanding tokens", () => {
    const scheduling = new Scheduling(two)
    assert.deepStrictEqual(inShort(scheduling.ask("a", { tokens: 500 })), ["run a on w1"])
    assert.deepStrictEqual(inShort(scheduling.ask("b", { tokens: 100 })), ["run b on w2"])
    assert.deepStrictEqual(inShort(scheduling.ask("c", { tokens: 100 })), ["run c on w2"])
  })

  it("is the one that has the prompt's prefix cached, unless it has far more outstanding tokens", () => {
    const scheduling = new Scheduling(two)
    const prefixes = ["p", "q", "r"]
    scheduling.ask("a", { prefixes, tokens: 600 })
    assert.deepStrictEqual(inShort(scheduling.ask("b", { prefixes, tokens: 600 })), ["run b on w1"])
    scheduling.end("a")
    scheduling.end("b")
    scheduling.ask("c", { prefixes, tokens: limits.imbalanceTokens + 100 })
    assert.deepStrictEqual(inShort(scheduling.ask("d", { prefixes })), ["run d on w2"])
  })

  it("is reserved at once, and released when the request ends", () => {
    const scheduling = new Scheduling(hive({ workers: [worker("w1", { slots: 1 })] }))
    scheduling.ask("a")
    assert.deepStrictEqual(scheduling.core.load, { waiting: 0, requests: 1, tokens: 100, loading: 0 })
    assert.deepStrictEqual(inShort(scheduling.ask("b")), ["b waits in 1"])
    assert.deepStrictEqual(inShort(scheduling.end("a")), ["run b on w1"])
    assert.deepStrictEqual(inShort(scheduling.end("a")), [])
    scheduling.end("b")
    assert.deepStrictEqual(scheduling.core.load, { waiting: 0, requests: 0, tokens: 0, loading: 0 })
  })

  it("is one that has not failed the request, if there is another", () => {
    const scheduling = new Scheduling(two)
    assert.deepStrictEqual(inShort(scheduling.ask("a", { avoid: ["atlas/w1"] })), ["run a on w2"])
    const alone = new Scheduling(hive({ workers: [worker("w1")] }))
    assert.deepStrictEqual(inShort(alone.ask("a", { avoid: ["atlas/w1"] })), ["run a on w1"])
  })

  it("has the context length, engine, hive and device that the request needs", () => {
    const workers = [worker("w1"), worker("w2", { contextSize: 8192, engine: "vllm", device: "gpu-1" })]
    for (const needs of [{ contextSize: 5000 }, { engine: "vllm" }, { device: "gpu-1" }]) {
      assert.deepStrictEqual(inShort(new Scheduling(hive({ workers })).ask("a", needs)), ["run a on w2"])
    }
    const scheduling = new Scheduling(hive({ workers }), hive({ id: "boreas", models: [] }))
    assert.deepStrictEqual(inShort(scheduling.ask("a", { hive: "boreas" })), [
      "a waits in 1",
      "refuse a: Impossible"
    ])
  })

  it("is on the device with the requested index, including 0", () => {
    const workers = [worker("w1", { device: "gpu-1" }), worker("w2", { device: "gpu-0" })]
    assert.deepStrictEqual(inShort(new Scheduling(hive({ workers })).ask("a", { device: "0" })), [
      "run a on w2"
    ])
    assert.deepStrictEqual(inShort(new Scheduling(hive({ workers })).ask("a", { device: "1" })), [
      "run a on w1"
    ])
  })

  it("gets no request after consecutive faults, and then one at a time until one succeeds", () => {
    const scheduling = new Scheduling(hive({ workers: [worker("w1")], free: 0 }))
    for (const id of ["a", "b"]) {
      scheduling.ask(id)
      scheduling.end(id, "fault")
    }
    assert.deepStrictEqual(inShort(scheduling.ask("c")), ["c waits in 1"])
    scheduling.ask("d")
    assert.deepStrictEqual(inShort(scheduling.tick(limits.breakerPause)), ["run c on w1"])
    assert.deepStrictEqual(inShort(scheduling.end("c")), ["run d on w1"])
  })

  it("keeps its circuit breaker closed after client errors and when it is full", () => {
    const scheduling = new Scheduling(hive({ workers: [worker("w1")] }))
    for (const outcome of ["client", "busy", "client", "busy"] as const) {
      scheduling.ask("a")
      scheduling.end("a", outcome)
      scheduling.tick(1000)
    }
    assert.deepStrictEqual(inShort(scheduling.ask("b")), ["run b on w1"])
  })
})

describe("the queue", () => {
  const busy = () => {
    const scheduling = new Scheduling(hive({ workers: [worker("w1", { slots: 1 })], free: 0 }))
    scheduling.ask("running")
    return scheduling
  }
  const next = (scheduling: Scheduling, id: string) => inShort(scheduling.end(id))

  it("refuses a request when it is full", () => {
    const scheduling = busy()
    for (const id of ["a", "b", "c", "d"]) scheduling.ask(id)
    assert.deepStrictEqual(inShort(scheduling.ask("e")), ["refuse e: QueueFull"])
  })

  it("refuses a request at its deadline, and not before", () => {
    const scheduling = busy()
    scheduling.ask("a", { deadline: scheduling.now + 2000 })
    assert.deepStrictEqual(inShort(scheduling.tick(1999)), [])
    assert.deepStrictEqual(inShort(scheduling.tick(1)), ["refuse a: QueueTimeout"])
  })

  it("serves the higher priority first", () => {
    const scheduling = busy()
    scheduling.ask("a")
    scheduling.ask("b", { priority: 1 })
    assert.deepStrictEqual(next(scheduling, "running"), ["run b on w1"])
  })

  it("alternates between API keys, even if one sends more requests", () => {
    const scheduling = busy()
    for (const id of ["a1", "a2", "a3"]) scheduling.ask(id, { key: "a" })
    scheduling.ask("b1", { key: "b" })
    assert.deepStrictEqual(next(scheduling, "running"), ["run a1 on w1"])
    assert.deepStrictEqual(next(scheduling, "a1"), ["run b1 on w1"])
    assert.deepStrictEqual(next(scheduling, "b1"), ["run a2 on w1"])
  })

  it("serves a starving request first, whatever the priorities of others", () => {
    const scheduling = busy()
    scheduling.ask("a", { priority: -5 })
    scheduling.now += limits.starvationBound
    scheduling.ask("b", { priority: 5 })
    assert.deepStrictEqual(next(scheduling, "running"), ["run a on w1"])
  })

  it("drops a request whose client disconnects", () => {
    const scheduling = busy()
    scheduling.ask("a")
    scheduling.core.handle({ _tag: "Left", id: "a" }, scheduling.now)
    assert.deepStrictEqual(next(scheduling, "running"), [])
    assert.strictEqual(scheduling.core.load.waiting, 0)
  })

  it("reports the position of each waiting request", () => {
    const scheduling = busy()
    scheduling.ask("a")
    scheduling.ask("b", { priority: 1 })
    assert.deepStrictEqual(inShort(scheduling.core.positions(scheduling.now)), [
      "b waits in 1",
      "a waits in 2"
    ])
  })
})

describe("a model without a worker", () => {
  it("is loaded on a hive that has its file, and the waiting requests run when the worker is ready", () => {
    const scheduling = new Scheduling(hive({ id: "boreas", models: [] }), hive())
    const [, load] = scheduling.ask("a")
    assert.isTrue(load?._tag === "Load")
    if (load?._tag !== "Load") return
    assert.deepStrictEqual([load.hive, load.device, load.demand.model], ["atlas", "gpu-0", "m"])
    assert.deepStrictEqual(inShort(scheduling.ask("b")), ["b waits in 2"])
    const loaded = scheduling.core.handle(
      { _tag: "Loaded", load: load.load, worker: worker("w1") },
      scheduling.now
    )
    assert.deepStrictEqual(inShort(loaded), ["run a on w1", "run b on w1"])
  })

  it("is refused when no hive has its file, or no device could ever hold it", () => {
    const scheduling = new Scheduling(hive({ models: [{ id: "m", memoryBytes: 17 * gib }] }))
    assert.deepStrictEqual(inShort(scheduling.ask("a", { model: "none" })), [
      "a waits in 1",
      "refuse a: Impossible"
    ])
    assert.deepStrictEqual(inShort(scheduling.ask("b")), ["b waits in 1", "refuse b: Impossible"])
  })

  it("needs memory for the requested context length and slots", () => {
    const usual = { contextSize: 1024, slots: 4, tokenBytes: gib / 1024 }
    const models = [{ id: "m", memoryBytes: 5 * gib, usual }]
    const scheduling = new Scheduling(hive({ models, free: 8 }))
    const place = (contextSize?: number) =>
      scheduling.core.explain({ model: "m", tokens: 1, prefixes: [], contextSize }, scheduling.now).decision
    assert.deepInclude(place(), { _tag: "Place", memoryBytes: 5 * gib })
    assert.deepInclude(place(256), { _tag: "Place", memoryBytes: 2 * gib })
    assert.strictEqual(place(2048)._tag, "Wait")
    assert.strictEqual(place(8192)._tag, "Impossible")
  })

  it("gets a shorter context length where memory is short, and a longer one for a long prompt", () => {
    const usual = {
      contextSize: 1024,
      slots: 4,
      tokenBytes: gib / 1024,
      minContext: 256,
      maxContext: 8192
    }
    const models = [{ id: "m", memoryBytes: 5 * gib, usual }]
    const placeIn = (free: number, minContext: number) => {
      const scheduling = new Scheduling(hive({ models, free }))
      const requirements = { model: "m", tokens: 1, prefixes: [], minContext }
      return scheduling.core.explain(requirements, scheduling.now).decision
    }
    assert.deepInclude(placeIn(8, 0), { _tag: "Place", memoryBytes: 5 * gib })
    // The hive chooses among the usual sizes, by its measured memory.
    assert.deepInclude(placeIn(4, 100), { _tag: "Place", memoryBytes: 3 * gib })
    assert.notProperty(placeIn(4, 100), "shape")
    assert.deepInclude(placeIn(2, 0), { _tag: "Place", memoryBytes: 2 * gib })
    assert.strictEqual(placeIn(1, 0)._tag, "Wait")
    assert.deepInclude(placeIn(4, 512), {
      _tag: "Place",
      memoryBytes: 3 * gib,
      shape: { contextSize: 512, slots: 4 }
    })
    assert.strictEqual(placeIn(2, 512)._tag, "Wait")
    // For a long prompt the worker gets fewer slots before the request is refused.
    assert.deepInclude(placeIn(8, 1500), {
      _tag: "Place",
      shape: { contextSize: 1500, slots: 4 }
    })
    assert.deepInclude(placeIn(4, 1500), { _tag: "Place", shape: { contextSize: 1500, slots: 2 } })
    assert.deepInclude(placeIn(3, 1500), { _tag: "Place", shape: { contextSize: 1500, slots: 1 } })
  })

  it("gets a second worker if the context of the first is too short for a prompt", () => {
    const usual = { contextSize: 1024, slots: 4, tokenBytes: 1, minContext: 1024, maxContext: 8192 }
    const models = [{ id: "m", memoryBytes: gib, usual }]
    const scheduling = new Scheduling(hive({ models, workers: [worker("w", { contextSize: 1024 })] }))
    assert.deepStrictEqual(inShort(scheduling.ask("small", { minContext: 1000 })), ["run small on w"])
    assert.include(inShort(scheduling.ask("large", { minContext: 3000 })), "load m on atlas/gpu-0")
    assert.deepStrictEqual(inShort(scheduling.ask("other", { minContext: 10 })), ["run other on w"])
  })

  it("does not get memory that is reserved for a loading worker", () => {
    const scheduling = new Scheduling(hive({ free: 12 }))
    assert.include(inShort(scheduling.ask("a", { model: "n" })), "load n on atlas/gpu-0")
    assert.deepStrictEqual(inShort(scheduling.ask("b")), ["b waits in 1"])
  })

  it("is loaded on another hive after a failed load, and refused when there is none", () => {
    const scheduling = new Scheduling(hive(), hive({ id: "boreas" }))
    const fail = (load: string) =>
      scheduling.core.handle({ _tag: "LoadFailed", load, reason: "no", fault: "model" }, scheduling.now)
    scheduling.ask("a")
    assert.deepStrictEqual(inShort(fail("load-1")), ["load m on boreas/gpu-0"])
    assert.deepStrictEqual(inShort(fail("load-2")), ["refuse a: LoadFailed"])
  })

  it("does not delay requests for another model", () => {
    const scheduling = new Scheduling(two)
    scheduling.ask("cold", { model: "n" })
    assert.deepStrictEqual(inShort(scheduling.ask("warm")), ["run warm on w1"])
  })
})

describe("eviction", () => {
  const full = () => {
    const workers = [
      worker("old", { model: "o", memoryBytes: 8 * gib }),
      worker("new", { model: "p", memoryBytes: 8 * gib })
    ]
    const scheduling = new Scheduling(hive({ workers, free: 0 }))
    scheduling.now += limits.minResidency
    scheduling.ask("x", { model: "p" })
    scheduling.end("x")
    return scheduling
  }

  it("evicts the worker that has been idle for the longest, and no more workers than necessary", () => {
    const scheduling = full()
    assert.deepStrictEqual(inShort(scheduling.ask("a")), ["a waits in 1", "delete old"])
    const deleted = scheduling.core.handle(
      { _tag: "Deleted", worker: worker("old", { model: "o", memoryBytes: 8 * gib }) },
      scheduling.now
    )
    assert.deepStrictEqual(inShort(deleted), ["load m on atlas/gpu-0"])
  })

  it("counts the memory of a worker once, if its hive lists the worker before the load ends", () => {
    const scheduling = new Scheduling(hive())
    scheduling.ask("a")
    const models = [
      { id: "m", memoryBytes: 4 * gib },
      { id: "k", memoryBytes: 8 * gib }
    ]
    const reported = hive({ free: 8, models, workers: [worker("w1")] })
    assert.deepStrictEqual(inShort(scheduling.fleet(reported)), ["run a on w1"])
    scheduling.core.handle({ _tag: "Loaded", load: "load-1", worker: worker("w1") }, scheduling.now)
    scheduling.end("a")
    scheduling.tick(limits.minResidency)
    assert.deepStrictEqual(inShort(scheduling.ask("b", { model: "k" })), [
      "b waits in 1",
      "load k on atlas/gpu-0"
    ])
  })

  it("counts the memory of a loaded worker that its hive last listed as starting", () => {
    const scheduling = new Scheduling(hive())
    scheduling.ask("a")
    const models = [
      { id: "m", memoryBytes: 4 * gib },
      { id: "k", memoryBytes: 14 * gib }
    ]
    scheduling.fleet(hive({ models, workers: [worker("w1", { state: "starting" })] }))
    const loaded = scheduling.core.handle(
      { _tag: "Loaded", load: "load-1", worker: worker("w1") },
      scheduling.now
    )
    assert.deepStrictEqual(inShort(loaded), ["run a on w1"])
    scheduling.end("a")
    scheduling.tick(limits.minResidency)
    assert.deepStrictEqual(inShort(scheduling.ask("b", { model: "k" })), ["b waits in 1", "delete w1"])
  })

  it("does not evict a worker before its minimum residency", () => {
    const scheduling = new Scheduling(hive({ workers: [worker("young", { model: "o" })], free: 0 }))
    assert.deepStrictEqual(inShort(scheduling.ask("a")), ["a waits in 1"])
    assert.deepStrictEqual(inShort(scheduling.tick(limits.minResidency - 1)), [])
    assert.deepStrictEqual(inShort(scheduling.tick(1)), ["delete young"])
  })

  it("drains a busy worker only for a starving request, and deletes it when its requests have ended", () => {
    const busy = worker("busy", { model: "o", memoryBytes: 16 * gib })
    const models = [
      { id: "m", memoryBytes: 4 * gib },
      { id: "o", memoryBytes: 16 * gib }
    ]
    const scheduling = new Scheduling(hive({ models, workers: [busy], free: 0 }))
    scheduling.now += limits.minResidency
    scheduling.ask("x", { model: "o" })
    assert.deepStrictEqual(inShort(scheduling.ask("a")), ["a waits in 1"])
    assert.deepStrictEqual(inShort(scheduling.tick(limits.starvationBound)), [])
    assert.deepStrictEqual(inShort(scheduling.ask("y", { model: "o" })), ["y waits in 1"])
    assert.deepStrictEqual(inShort(scheduling.end("x")), ["delete busy"])
  })
})

describe("workers of a model", () => {
  it("get one more when requests wait for long and there is free memory", () => {
    const scheduling = new Scheduling(hive({ workers: [worker("w1", { slots: 1 })], free: 12 }))
    scheduling.ask("a")
    scheduling.ask("b")
    assert.deepStrictEqual(inShort(scheduling.tick(limits.scaleAfter - 1)), [])
    assert.deepStrictEqual(inShort(scheduling.tick(1)), ["load m on atlas/gpu-0"])
  })

  it("are stopped when they are idle for long, if the scheduler started them", () => {
    const scheduling = new Scheduling(hive())
    const [, load] = scheduling.ask("a")
    const id = load?._tag === "Load" ? load.load : ""
    scheduling.core.handle({ _tag: "Loaded", load: id, worker: worker("mine") }, scheduling.now)
    scheduling.end("a")
    scheduling.fleet(hive({ workers: [worker("mine"), worker("yours")] }))
    assert.deepStrictEqual(inShort(scheduling.tick(limits.idleTtl - 1)), [])
    assert.deepStrictEqual(inShort(scheduling.tick(1)), ["delete mine"])
  })

  it("keep their reservations while their hive does not report them", () => {
    const scheduling = new Scheduling(hive({ workers: [worker("w1", { slots: 1 })], free: 0 }))
    scheduling.ask("a")
    scheduling.fleet()
    scheduling.fleet(hive({ workers: [worker("w1", { slots: 1 })], free: 0 }))
    assert.deepStrictEqual(inShort(scheduling.ask("b")), ["b waits in 1"])
    assert.deepStrictEqual(inShort(scheduling.end("a")), ["run b on w1"])
  })
})

describe("explain", () => {
  it("lists the candidates with scores or reasons, and reserves nothing", () => {
    const scheduling = new Scheduling(hive({ workers: [worker("w1"), worker("w2", { state: "starting" })] }))
    const requirements = { model: "m", tokens: 10, prefixes: [] }
    const { candidates, decision } = scheduling.core.explain(requirements, scheduling.now)
    assert.deepStrictEqual(decision, { _tag: "Run", worker: worker("w1"), sharedTokens: 0 })
    assert.sameDeepMembers(
      [...candidates],
      [
        { where: "atlas/w1", score: 0 },
        { where: "atlas/w2", rejection: "it is starting" }
      ]
    )
    assert.strictEqual(scheduling.core.load.requests, 0)
  })

  it("places a worker on the device with the requested index, a GPU where the hive has one", () => {
    const device = (id: string, kind: "gpu" | "cpu", freeBytes: number) => ({
      id,
      kind,
      totalBytes: 16 * gib,
      freeBytes,
      usable: true
    })
    const devices = [
      device("cpu-0", "cpu", 16 * gib),
      device("gpu-0", "gpu", 5 * gib),
      device("gpu-1", "gpu", 16 * gib)
    ]
    const whereOf = (on: ReadonlyArray<(typeof devices)[number]>, index?: string) => {
      const scheduling = new Scheduling(hive({ devices: on }))
      const requirements = { model: "m", tokens: 10, prefixes: [], device: index }
      const { decision } = scheduling.core.explain(requirements, scheduling.now)
      return decision._tag === "Place" ? decision.device : decision._tag
    }
    assert.strictEqual(whereOf(devices), "gpu-1")
    assert.strictEqual(whereOf(devices, "0"), "gpu-0")
    assert.strictEqual(whereOf(devices, "1"), "gpu-1")
    assert.strictEqual(whereOf(devices, "cpu-0"), "cpu-0")
    assert.strictEqual(whereOf(devices.slice(0, 1), "0"), "cpu-0")
    assert.strictEqual(whereOf(devices, "2"), "Impossible")
  })

  it("names the workers that would be evicted", () => {
    const old = worker("old", { model: "o", memoryBytes: 16 * gib })
    const scheduling = new Scheduling(hive({ workers: [old], free: 0 }))
    scheduling.now += limits.minResidency
    const { decision } = scheduling.core.explain({ model: "m", tokens: 10, prefixes: [] }, scheduling.now)
    assert.deepStrictEqual(decision, {
      _tag: "Place",
      hive: "atlas",
      device: "gpu-0",
      memoryBytes: 4 * gib,
      revision: undefined,
      engine: undefined,
      evict: [old]
    })
  })
})
