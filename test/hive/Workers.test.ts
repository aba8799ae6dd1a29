import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Workers } from "../../src/hive/Workers.ts"
import { cpu, fakeProcesses, fakeWorkers, gpu, type FakeHive } from "../support/hiveFakes.ts"
import { temporaryHome } from "../support/hive.ts"

const silent = () => Effect.void
const request = { model: "small", worker: "cpu", device: 0 }

const setUp = Effect.fnUntraced(function* (options: Omit<FakeHive, "home"> = {}) {
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
  it.effect("spawns, and shows pid and port while the process lives", () =>
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

  it.effect("forgets a worker whose start failed", () =>
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

  it.effect("restarts three times with growing pauses, then shows why it gave up", () =>
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

  it.effect("counts anew after a minute of peace", () =>
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

  it.effect("takes the least busy worker, and starts one for all who ask at once", () =>
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

  it.effect("counts what workers will take that are still loading", () =>
    Effect.gen(function* () {
      const { started, workers } = yield* setUp()
      yield* Effect.forkChild(workers.spawn({ ...request, model: "big" }, silent))
      yield* started
      const error = yield* Effect.flip(workers.spawn({ ...request, model: "big" }, silent))
      assert.strictEqual(error._tag, "ModelDoesNotFit")
      assert.match(error.message, /needs 628\.\d MiB and cpu-0 .* has 39\d\.\d MiB free/)
    })
  )

  it.effect("looks at the device before the model, and says which GPU lies idle", () =>
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
      assert.include(said.join("\n"), "'get it' brings what it needs")
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
      assert.strictEqual((yield* refused({ model: "../x" }))._tag, "InvalidModelId")
      const unknown = yield* Effect.flip(hive.workers.stop("nobody"))
      assert.strictEqual(
        unknown.message,
        `Worker 'nobody' not found on this hive; known workers: ${record.id}`
      )
    })
  )
})
