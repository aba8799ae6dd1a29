import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { JobFailed } from "../../../src/job/errors.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { ConnectionFailed, type ForwardError, HiveUnreachable } from "../../../src/queen/forward/errors.ts"
import type { ForwardJson } from "../../../src/queen/forward/Forwarded.ts"
import { forwardWith } from "../../../src/queen/forward/forwardOperation.ts"
import { HiveForwarder } from "../../../src/queen/forward/HiveForwarder.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { LoadStalled } from "../../../src/queen/scheduler/errors.ts"
import { FleetView } from "../../../src/queen/scheduler/FleetView.ts"
import { Loader, WorkerNotReported } from "../../../src/queen/scheduler/Loader.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { worker } from "../../support/fleetFakes.ts"
import { listedWorker, snapshot } from "../../support/fleetRuns.ts"

const command = {
  _tag: "Load",
  load: "load-1",
  hive: "atlas",
  device: "gpu-1",
  demand: { model: "rbee:tiny", since: 0, extra: false, contextSize: 512 }
} as const

interface LoadTest {
  /** The events of `worker_spawn` or `worker_delete` on the hive. */
  readonly events: Stream.Stream<JobEvent, ForwardError>
  /** The workers in the hive's inventory, at each request for it. */
  readonly inventories?: ReadonlyArray<ReadonlyArray<ReturnType<typeof listedWorker>>>
}

const loaderOf = Effect.fnUntraced(function* ({ events, inventories = [] }: LoadTest) {
  const requests: Array<string> = []
  const sentences: Array<string> = []
  const left: Array<boolean> = []
  const watchers = new Set<(reason: string) => void>()
  let looks = 0
  const forwardJson: ForwardJson = ({ isLeftRunning, json }, emit) => {
    requests.push(json)
    return Stream.runForEachArray(events, emit).pipe(
      Effect.onInterrupt(() => Effect.sync(() => left.push(isLeftRunning?.() === true)))
    )
  }
  const forwarder = Layer.succeed(
    HiveForwarder,
    HiveForwarder.of({ forward: forwardWith(forwardJson), forwardJson })
  )
  const fleet = Layer.mock(FleetView)({
    hasElsewhere: () => true,
    snapshot: () =>
      Effect.sync(() => {
        const workers = inventories[Math.min(looks++, inventories.length - 1)] ?? []
        return [snapshot("atlas", { workers })]
      })
  })
  const registry = Layer.mock(HiveRegistry)({
    markAlive: () => {},
    markUnreachable: () => {},
    markStopped: () => {},
    isLost: () => false,
    changes: () => 0,
    onLost: (_alias, call) => {
      watchers.add(call)
      return () => watchers.delete(call)
    }
  })
  const settings = Settings.layerDefaults({ timeouts: { loadStall: Duration.seconds(30) } })
  const loader = yield* Effect.provide(
    Loader,
    Layer.provide(Loader.layerNoDeps, [forwarder, fleet, registry, settings])
  )
  const load = loader.load(command, (sentence) => sentences.push(sentence))
  return {
    load,
    unload: loader.unload,
    requests,
    sentences,
    left,
    lose: (reason: string) => watchers.forEach((call) => call(reason))
  }
})

const spawned = Stream.make(
  JobEvent.narration("hv-work", "spawn", "loading the model"),
  JobEvent.result({ id: "w1" })
)

describe("Loader.load", () => {
  it.effect(
    "spawns the worker on the chosen device, and returns it when the inventory lists it as serving",
    () =>
      Effect.gen(function* () {
        const starting = { ...listedWorker("w1"), state: "starting" }
        const { load, requests, sentences } = yield* loaderOf({
          events: spawned,
          inventories: [[], [starting], [listedWorker("other"), listedWorker("w1")]]
        })
        const loading = yield* Effect.forkChild(load)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(loading)).id, "w1")
        assert.deepStrictEqual(
          requests.map((json) => JSON.parse(json)),
          [
            {
              operation: "worker_spawn",
              hive_id: "atlas",
              model: "rbee:tiny",
              worker: "gpu-1",
              device: 1,
              ctx_size: 512
            }
          ]
        )
        assert.deepStrictEqual(sentences, ["loading the model"])
      })
  )

  it.effect("fails if the inventory does not list the worker within two seconds", () =>
    Effect.gen(function* () {
      const { load } = yield* loaderOf({ events: spawned, inventories: [[listedWorker("other")]] })
      const loading = yield* Effect.forkChild(Effect.flip(load))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(loading), new WorkerNotReported({ hive: "atlas" }))
    })
  )

  it.effect("fails if the hive reports no progress for timeouts.load_stall, and cancels the hive's job", () =>
    Effect.gen(function* () {
      const progress = Stream.concat(
        Stream.fromEffect(Effect.delay(Effect.succeed(JobEvent.narration("a", "b", "half")), "20 seconds")),
        Stream.never
      )
      const { left, load } = yield* loaderOf({ events: progress })
      const loading = yield* Effect.forkChild(Effect.flip(load), { startImmediately: true })
      yield* TestClock.adjust("49 seconds")
      assert.isUndefined(loading.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        yield* Fiber.join(loading),
        new LoadStalled({ model: "rbee:tiny", hive: "atlas", seconds: 30 })
      )
      assert.deepStrictEqual(left, [false])
    })
  )

  it.effect("fails when the hive is lost", () =>
    Effect.gen(function* () {
      const { load, lose } = yield* loaderOf({ events: Stream.never })
      const loading = yield* Effect.forkChild(Effect.flip(load), { startImmediately: true })
      lose("connection refused")
      assert.deepStrictEqual(
        yield* Fiber.join(loading),
        new HiveUnreachable({ hive: "atlas", reason: "connection refused" })
      )
    })
  )

  it.effect("fails with the hive's error", () =>
    Effect.gen(function* () {
      const error = new JobFailed({ code: "ModelDoesNotFit", sentence: "no memory" })
      const { load } = yield* loaderOf({ events: Stream.fail(error) })
      assert.deepStrictEqual(yield* Effect.flip(load), error)
    })
  )

  it.effect("leaves the load to the hive when it is interrupted, because this queen stops", () =>
    Effect.gen(function* () {
      const { left, load } = yield* loaderOf({ events: Stream.never })
      const loading = yield* Effect.forkChild(load, { startImmediately: true })
      yield* Fiber.interrupt(loading)
      assert.deepStrictEqual(left, [true])
    })
  )
})

describe("Loader.unload", () => {
  it.effect("deletes the worker, and succeeds also if its hive cannot be reached", () =>
    Effect.gen(function* () {
      const error = new ConnectionFailed({ hive: "atlas", reason: "refused" })
      for (const events of [Stream.empty, Stream.fail(error)]) {
        const { requests, unload } = yield* loaderOf({ events })
        yield* unload(worker("w1"), "idle")
        assert.deepStrictEqual(
          requests.map((json) => JSON.parse(json)),
          [{ operation: "worker_delete", hive_id: "atlas", id: "w1" }]
        )
      }
    })
  )
})
