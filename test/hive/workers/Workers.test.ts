import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, FileSystem, Layer, Random, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Device } from "../../../src/hive/devices/Devices.ts"
import { Workers } from "../../../src/hive/workers/Workers.ts"
import { temporaryHome } from "../../support/hive.ts"
import { cpu, fakeProcesses, fakeWorkers, gpu, type FakeWorkersOptions } from "../../support/hiveFakes.ts"

const silent = () => Effect.void
const request = { model: "small", worker: "cpu", device: 0 }

const setUp = Effect.fnUntraced(function* (options: Omit<FakeWorkersOptions, "home"> = {}) {
  const home = yield* temporaryHome
  const processes = yield* fakeProcesses
  const layer = fakeWorkers({ ...options, home }, processes.layer)
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(layer, scope)
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const workers = yield* Effect.provide(Workers, context)
  const states = Effect.map(workers.list, (list) => list.map(({ record }) => record.state))
  const spawned = Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(workers.spawn(request, silent))
    const process = yield* processes.started
    yield* process.ready
    return { process, record: yield* Fiber.join(fiber) }
  })
  return { ...processes, workers, states, spawned, close: Scope.close(scope, Exit.void) }
})

describe("Workers", () => {
  it.effect("spawns a worker, and shows pid and port while its process is alive", () =>
    Effect.gen(function* () {
      const { close, process, record, workers } = yield* Effect.flatMap(setUp(), (hive) =>
        Effect.map(hive.spawned, (spawned) => ({ ...hive, ...spawned }))
      )
      assert.match(record.id, /^small-[0-9a-f]{6}$/)
      assert.deepInclude(record, { model: "small", state: "ready", worker: "cpu", device: 0, port: 50_000 })
      assert.deepStrictEqual(yield* workers.get(record.id), record)
      yield* close
      yield* process.interrupted
    })
  )

  it.effect("gives every worker a unique id, also when the random numbers repeat", () =>
    Effect.gen(function* () {
      const { spawned, workers } = yield* setUp()
      let thrown = 0
      const chance = { nextDoubleUnsafe: () => (thrown++ < 3 ? 0.25 : 0.5), nextIntUnsafe: () => 0 }
      const ids = yield* Effect.forEach([1, 2], () => Effect.map(spawned, ({ record }) => record.id)).pipe(
        Effect.provideService(Random.Random, chance)
      )
      assert.lengthOf(new Set(ids), 2)
      assert.lengthOf(yield* workers.list, 2)
    })
  )

  it.live("removes the record of an earlier hive's worker whose process has ended", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      const fs = yield* FileSystem.FileSystem
      const folder = `${home}/state/hives/test/workers`
      yield* fs.makeDirectory(folder, { recursive: true })
      const spec = {
        id: "old",
        model: "small",
        modelPath: "/models/small.gguf",
        worker: "cpu",
        engine: "llama",
        backend: "cpu",
        device: 0,
        contextSize: 512,
        parallel: 1,
        threads: 1,
        memoryBytes: 1
      }
      // A process of this number runs, but it is not the one that began then.
      const running = { pid: process.pid, startTime: "1", port: 50_000 }
      yield* fs.writeFileString(`${folder}/old.json`, JSON.stringify({ spec, process: running }))
      const processes = yield* fakeProcesses
      const context = yield* Layer.build(fakeWorkers({ home }, processes.layer))
      assert.deepStrictEqual(
        yield* Effect.provide(Workers, context).pipe(Effect.flatMap(({ list }) => list)),
        []
      )
      assert.deepStrictEqual(yield* fs.readDirectory(folder), [])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("removes a worker whose start failed", () =>
    Effect.gen(function* () {
      const { started, states, workers } = yield* setUp()
      const fiber = yield* Effect.forkChild(Effect.flip(workers.spawn(request, silent)))
      yield* (yield* started).end("its process ended with code 1")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "WorkerFailed")
      assert.include(error.message, "its process ended with code 1; its last lines: oh")
      assert.deepStrictEqual(yield* states, [])
    })
  )

  it.effect("restarts three times with growing delays, then fails with the reason", () =>
    Effect.gen(function* () {
      const { process, record, started, startedNow, states, workers } = yield* Effect.flatMap(
        setUp(),
        (hive) => Effect.map(hive.spawned, (spawned) => ({ ...hive, ...spawned }))
      )
      let current = process
      for (const pause of [500, 1000, 2000]) {
        yield* current.end("boom")
        yield* TestClock.adjust(pause - 1)
        assert.strictEqual(yield* startedNow, 0)
        const waiting = yield* workers.get(record.id)
        assert.strictEqual(waiting.state, "starting")
        assert.notProperty(waiting, "pid")
        assert.include(waiting.reason, "boom; restart")
        yield* TestClock.adjust(1)
        current = yield* started
        yield* current.ready
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(yield* states, ["ready"])
      }
      yield* current.end("boom")
      yield* TestClock.adjust("1 minute")
      const failed = yield* workers.get(record.id)
      assert.strictEqual(failed.state, "failed")
      assert.strictEqual(failed.reason, "boom; it was restarted 3 times")
      const refused = yield* Effect.flip(
        Effect.scoped(workers.lease({ model: "small", workerId: record.id }, silent))
      )
      assert.strictEqual(refused._tag, "WorkerNotReady")
    })
  )

  it.effect("starts the count of restarts again after a minute without a crash", () =>
    Effect.gen(function* () {
      const { process, started, states } = yield* Effect.flatMap(setUp(), (hive) =>
        Effect.map(hive.spawned, (spawned) => ({ ...hive, ...spawned }))
      )
      let current = process
      for (let crash = 0; crash < 6; crash++) {
        yield* TestClock.adjust("61 seconds")
        yield* current.end("boom")
        yield* TestClock.adjust("500 millis")
        current = yield* started
        yield* current.ready
      }
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* states, ["ready"])
    })
  )

  it.effect("ends a start that is interrupted, unless a request waits for the worker", () =>
    Effect.gen(function* () {
      const { started, states, workers } = yield* setUp()
      const alone = yield* Effect.forkChild(workers.spawn(request, silent))
      const first = yield* started
      yield* Fiber.interrupt(alone)
      yield* first.interrupted
      assert.deepStrictEqual(yield* states, [])

      const shared = yield* Effect.forkChild(workers.spawn(request, silent))
      const second = yield* started
      const waiting = yield* Effect.forkChild(Effect.scoped(workers.lease({ model: "small" }, silent)))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(shared)
      yield* second.ready
      assert.strictEqual((yield* Fiber.join(waiting)).id, second.spec.id)
    })
  )

  it.effect("narrates the loading progress to waiting requests, each value once", () =>
    Effect.gen(function* () {
      const { started, workers } = yield* setUp()
      const said: Array<string> = []
      const say = (_: string, sentence: string) => Effect.sync(() => void said.push(sentence))
      const fiber = yield* Effect.forkChild(workers.spawn(request, say))
      const process = yield* started
      const reasonOf = Effect.map(workers.list, ([worker]) => worker?.record.reason)
      yield* process.loading(40)
      assert.strictEqual(yield* reasonOf, "its model is loaded to 40%")
      yield* TestClock.adjust("3 seconds")
      yield* process.loading(80)
      yield* TestClock.adjust("3 seconds")
      yield* process.ready
      const { id } = yield* Fiber.join(fiber)
      assert.isUndefined(yield* reasonOf)
      assert.deepStrictEqual(
        said.filter((sentence) => sentence.includes("%")),
        [40, 80].map((percent) => `Worker ${id} is starting: its model is loaded to ${percent}%`)
      )
    })
  )

  it.effect("takes the least busy worker, and starts one for simultaneous requests", () =>
    Effect.gen(function* () {
      const { started, startedNow, workers } = yield* setUp()
      const lease = workers.lease({ model: "small" }, silent)
      const asking = yield* Effect.forkChild(Effect.all([lease, lease, lease], { concurrency: "unbounded" }))
      const first = yield* started
      yield* first.ready
      const leases = yield* Fiber.join(asking)
      assert.strictEqual(yield* startedNow, 0)
      assert.deepStrictEqual(new Set(leases.map(({ id }) => id)), new Set([first.spec.id]))

      const more = yield* Effect.forkChild(workers.spawn(request, silent))
      const second = yield* started
      yield* second.ready
      yield* Fiber.join(more)
      assert.strictEqual((yield* lease).id, second.spec.id)
      const counts = Effect.map(workers.list, (list) => list.map(({ requests }) => requests))
      assert.deepStrictEqual(yield* counts, [3, 1])
      yield* Effect.scoped(lease)
      assert.deepStrictEqual(yield* counts, [3, 1])
    })
  )

  it.effect("reserves the memory of workers that are still loading", () =>
    Effect.gen(function* () {
      const { started, workers } = yield* setUp()
      yield* Effect.forkChild(workers.spawn({ ...request, model: "big" }, silent))
      yield* started
      const error = yield* Effect.flip(workers.spawn({ ...request, model: "big" }, silent))
      assert.strictEqual(error._tag, "ModelDoesNotFit")
      assert.match(error.message, /needs 628\.\d MiB and cpu-0 .* has 39\d\.\d MiB free/)
    })
  )

  it.effect("checks the device before the model, and narrates which GPU is not used", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const say = (_: string, message: string) => Effect.sync(() => said.push(message))
      const { started, workers } = yield* setUp({ devices: [gpu, cpu] })
      const error = yield* Effect.flip(workers.spawn({ model: "none", worker: "cuda", device: 3 }, silent))
      assert.strictEqual(error._tag, "DeviceNotFound")
      const incapable = yield* Effect.flip(workers.spawn({ ...request, worker: "gpu-0" }, silent))
      assert.strictEqual(incapable._tag, "BackendNotSupported")
      const fiber = yield* Effect.forkChild(
        workers.spawn({ model: "small", worker: "auto" }, (action, message) =>
          Effect.asVoid(say(action, message))
        )
      )
      const process = yield* started
      yield* process.ready
      assert.strictEqual((yield* Fiber.join(fiber)).worker, "cpu")
      assert.include(said.join("\n"), "gpu-0 (Fast One, 24 GiB) is not used")
      assert.include(said.join("\n"), "'get it' installs what is missing")
    })
  )

  it.effect("refuses a named worker that serves another model or runs elsewhere", () =>
    Effect.gen(function* () {
      const hive = yield* setUp()
      const { record } = yield* hive.spawned
      const refused = (asked: Parameters<typeof hive.workers.lease>[0]) =>
        Effect.flip(Effect.scoped(hive.workers.lease({ ...asked, workerId: record.id }, silent)))
      assert.strictEqual((yield* refused({ model: "big" }))._tag, "WrongModel")
      assert.strictEqual((yield* refused({ model: "small", device: 1 }))._tag, "WrongDevice")
      const elsewhere = yield* refused({ model: "small", on: { backend: "cuda", index: 0 } })
      assert.strictEqual(
        elsewhere.message,
        `Worker '${record.id}' runs on cpu-0, not on cuda-0; omit device or worker_id`
      )
      const here = hive.workers.lease({ model: "small", workerId: record.id, on: { backend: "cpu" } }, silent)
      assert.strictEqual((yield* Effect.scoped(here)).id, record.id)
      assert.strictEqual((yield* refused({ model: "../x" }))._tag, "InvalidModelId")
      const unknown = yield* Effect.flip(hive.workers.stop("nobody"))
      assert.strictEqual(
        unknown.message,
        `Worker 'nobody' not found on this hive; known workers: ${record.id}`
      )
    })
  )

  it.effect("leases no worker on another device than the named one", () =>
    Effect.gen(function* () {
      const { spawned, workers } = yield* setUp()
      const { record } = yield* spawned
      const leased = (on: { readonly backend: "cpu" | "cuda" | "gpu"; readonly index?: number }) =>
        Effect.scoped(workers.lease({ model: "small", on }, silent))
      assert.strictEqual((yield* leased({ backend: "cpu" })).id, record.id)
      assert.strictEqual((yield* leased({ backend: "cpu", index: 0 })).id, record.id)
      const byIndex = (device: number) => Effect.scoped(workers.lease({ model: "small", device }, silent))
      assert.strictEqual((yield* byIndex(0)).id, record.id)
      assert.strictEqual((yield* Effect.flip(byIndex(1)))._tag, "DeviceNotFound")
      for (const on of [{ backend: "cuda" }, { backend: "gpu" }, { backend: "cpu", index: 1 }] as const) {
        assert.strictEqual((yield* Effect.flip(leased(on)))._tag, "DeviceNotFound", JSON.stringify(on))
      }
    })
  )

  it.effect("is busy while it has requests", () =>
    Effect.gen(function* () {
      const { spawned, states, workers } = yield* setUp()
      yield* spawned
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* workers.lease({ model: "small" }, silent)
          assert.deepStrictEqual(yield* states, ["busy"])
          yield* Effect.scoped(workers.lease({ model: "small" }, silent))
          assert.deepStrictEqual(yield* states, ["busy"])
        })
      )
      assert.deepStrictEqual(yield* states, ["ready"])
    })
  )

  it.effect("stops a worker that had no request for workers.idle_stop, and none that has one", () =>
    Effect.gen(function* () {
      const { spawned, states, workers } = yield* setUp({
        settings: { workers: { idleStop: Duration.minutes(10) } }
      })
      const { process } = yield* spawned
      yield* TestClock.adjust("9 minutes")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* workers.lease({ model: "small" }, silent)
          yield* TestClock.adjust("1 hour")
          assert.deepStrictEqual(yield* states, ["busy"])
        })
      )
      yield* TestClock.adjust("9 minutes")
      assert.deepStrictEqual(yield* states, ["ready"])
      yield* TestClock.adjust("70 seconds")
      yield* process.interrupted
      assert.deepStrictEqual(yield* states, [])
    })
  )

  it.effect("waits for memory that an ended worker frees, and for no other", () =>
    Effect.gen(function* () {
      const mebi = 1024 ** 2
      let free = 1000
      const measure = Effect.sync(() => [new Device({ ...cpu, free_bytes: free * mebi })])
      const { spawned, started, workers } = yield* setUp({ measure })
      const { record } = yield* spawned
      free = 300
      const big = { ...request, model: "big" }
      const refused = yield* Effect.flip(workers.spawn(big, silent))
      assert.strictEqual(refused._tag, "ModelDoesNotFit")

      yield* workers.stop(record.id)
      const said: Array<string> = []
      const fiber = yield* Effect.forkChild(
        workers.spawn(big, (_, message) => Effect.sync(() => void said.push(message)))
      )
      yield* TestClock.adjust("1 second")
      free = 1000
      yield* TestClock.adjust("1 second")
      yield* (yield* started).ready
      assert.strictEqual((yield* Fiber.join(fiber)).state, "ready")
      assert.include(said.join(), "Waiting for freed memory on cpu-0")

      free = 0
      const late = yield* Effect.forkChild(Effect.flip(workers.spawn(big, silent)))
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* Fiber.join(late))._tag, "ModelDoesNotFit")
    })
  )

  it.effect("takes a context length and a number of requests, and refuses a context that is too long", () =>
    Effect.gen(function* () {
      const { started, workers } = yield* setUp()
      const fiber = yield* Effect.forkChild(
        workers.spawn({ ...request, contextSize: 100, parallel: 3 }, silent)
      )
      const process = yield* started
      assert.deepInclude(process.spec, { contextSize: 100, parallel: 3 })
      yield* process.ready
      yield* Fiber.join(fiber)
      const error = yield* Effect.flip(workers.spawn({ ...request, contextSize: 513 }, silent))
      assert.strictEqual(
        error.message,
        "Context length 513 exceeds the maximum of 512 tokens for model 'small'"
      )
    })
  )

  it.live("lists 200 workers in under 100 ms", () =>
    Effect.gen(function* () {
      const large = new Device({ ...cpu, free_bytes: 2 ** 50 })
      const { started, workers } = yield* setUp({ devices: [large] })
      const all = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 200 }), () => workers.spawn(request, silent), {
          concurrency: "unbounded"
        })
      )
      for (let i = 0; i < 200; i++) yield* (yield* started).ready
      yield* Fiber.join(all)
      const startedAt = performance.now()
      assert.strictEqual((yield* workers.list).length, 200)
      assert.isBelow(performance.now() - startedAt, 100)
    })
  )
})
