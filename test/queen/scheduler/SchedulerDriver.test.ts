import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import { QueueTimeout, type ScheduleError } from "../../../src/queen/scheduler/errors.ts"
import type { WorkerView } from "../../../src/queen/scheduler/Fleet.ts"
import { Loader, WorkerNotReported } from "../../../src/queen/scheduler/Loader.ts"
import { SchedulerCore } from "../../../src/queen/scheduler/SchedulerCore.ts"
import { type Assignment, SchedulerDriver } from "../../../src/queen/scheduler/SchedulerDriver.ts"
import { hive, limits, worker } from "../../support/fleetFakes.ts"

interface DriverTest {
  readonly load?: Effect.Effect<WorkerView, WorkerNotReported>
}

/** A driver for the hive `atlas`, whose workers are those in `workers`. */
const driverOf = Effect.fnUntraced(function* (workers: ReadonlyArray<WorkerView>, { load }: DriverTest = {}) {
  const unloaded: Array<string> = []
  const loader = Loader.of({
    load: (_command, narrate) =>
      Effect.suspend(() => {
        narrate("half of the model is loaded")
        return load ?? Effect.never
      }),
    unload: ({ id }) => Effect.sync(() => void unloaded.push(id))
  })
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const core = new SchedulerCore(limits)
  const driver = new SchedulerDriver(core, loader, clock, scope)
  yield* driver.report({ _tag: "Fleet", hives: [hive({ workers })] })
  const ask = Effect.fnUntraced(function* (id: string, deadline = 60_000) {
    const assignment = yield* Deferred.make<Assignment, ScheduleError>()
    const sentences: Array<string> = []
    const waiter = { assignment, model: "m", narrate: (sentence: string) => void sentences.push(sentence) }
    const request = { id, model: "m", tokens: 1, prefixes: [], key: "", priority: 0 }
    yield* driver.ask(waiter, { ...request, askedAt: clock.currentTimeMillisUnsafe(), deadline })
    return {
      assignment: Deferred.await(assignment),
      isDone: () => Deferred.isDoneUnsafe(assignment),
      sentences
    }
  })
  return { ask, core, driver, unloaded }
})

const single = worker("w1", { slots: 1 })

describe("SchedulerDriver", () => {
  it.effect("wakes a request with its worker, at once or when one is released", () =>
    Effect.gen(function* () {
      const { ask, driver } = yield* driverOf([single])
      const first = yield* ask("a")
      assert.strictEqual((yield* first.assignment).worker.id, "w1")
      const second = yield* ask("b")
      assert.isFalse(second.isDone())
      yield* driver.report({ _tag: "Ended", id: "a", outcome: "ok" })
      assert.strictEqual((yield* second.assignment).worker.id, "w1")
    })
  )

  it.effect("narrates the position of a waiting request, and again only when it changes", () =>
    Effect.gen(function* () {
      const { ask, driver } = yield* driverOf([single])
      yield* ask("running")
      yield* ask("a")
      const second = yield* ask("b")
      yield* driver.reportPositions
      assert.lengthOf(second.sentences, 1)
      assert.match(second.sentences[0] ?? "", /^Waiting in position 2: /)
      yield* driver.leave("a")
      yield* driver.reportPositions
      yield* driver.reportPositions
      assert.lengthOf(second.sentences, 2)
      assert.match(second.sentences[1] ?? "", /^Waiting in position 1: /)
    })
  )

  it.effect("fails a request that the core refuses", () =>
    Effect.gen(function* () {
      const { ask, driver } = yield* driverOf([single])
      yield* ask("running")
      const { assignment } = yield* ask("a", 1_000)
      yield* TestClock.adjust("1 second")
      yield* driver.report({ _tag: "Tick" })
      const error = yield* Effect.flip(assignment)
      assert.deepStrictEqual([error._tag, error instanceof QueueTimeout], ["QueueTimeout", true])
    })
  )

  it.effect("drops a request that leaves, and releases a worker that nobody waits for", () =>
    Effect.gen(function* () {
      const { ask, core, driver } = yield* driverOf([single])
      yield* ask("running")
      yield* ask("a")
      yield* driver.leave("a")
      yield* driver.leave("a")
      assert.strictEqual(core.load.waiting, 0)
      yield* driver.report({ _tag: "Ended", id: "running", outcome: "ok" })
      assert.strictEqual(core.load.requests, 0)
    })
  )

  it.effect(
    "loads a worker, narrates its progress to the requests for the model, and measures the time",
    () =>
      Effect.gen(function* () {
        const ready = yield* Deferred.make<WorkerView>()
        const { ask, driver } = yield* driverOf([], { load: Deferred.await(ready) })
        const { assignment, sentences } = yield* ask("a")
        yield* TestClock.adjust("3 seconds")
        assert.include(sentences, "half of the model is loaded")
        yield* Deferred.succeed(ready, worker("w1"))
        assert.strictEqual((yield* assignment).worker.id, "w1")
        assert.strictEqual(driver.loadPeriods.during("m", 0, 10_000), 3_000)
      })
  )

  it.effect("reports a failed load, which refuses the request", () =>
    Effect.gen(function* () {
      const { ask } = yield* driverOf([], { load: Effect.fail(new WorkerNotReported({ hive: "atlas" })) })
      const { assignment } = yield* ask("a")
      assert.strictEqual((yield* Effect.flip(assignment))._tag, "LoadFailed")
    })
  )

  it.effect("ends its loads with its scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      let isInterrupted = false
      const load = Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (isInterrupted = true)))
      const { ask } = yield* Scope.provide(driverOf([], { load }), scope)
      yield* ask("a")
      yield* TestClock.adjust("1 second")
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(isInterrupted)
    })
  )
})
