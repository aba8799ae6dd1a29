import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { Upstream } from "../../../src/gateway/upstream/Upstream.ts"
import { JobFailed, type OperationError } from "../../../src/job/errors.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import {
  hiveDownload,
  hiveGeneration,
  hiveModelCommand,
  type Routing
} from "../../../src/operation/Routing.ts"
import { AutoForwarder } from "../../../src/queen/fleet/AutoForwarder.ts"
import { type AttemptRequest, HiveAttempt } from "../../../src/queen/fleet/HiveAttempt.ts"
import { ConnectionFailed } from "../../../src/queen/forward/errors.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { FleetView } from "../../../src/queen/scheduler/FleetView.ts"
import { Scheduler } from "../../../src/queen/scheduler/Scheduler.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { device, recordedJob, snapshot } from "../../support/fleetRuns.ts"

/** A hive's part in an operation: the events that it sends, and the error that it then fails with. */
interface HiveScript {
  readonly events?: ReadonlyArray<JobEvent>
  readonly error?: OperationError
}

const fleet = ["atlas", "boreas", "caelum"].map((hive) => snapshot(hive, { devices: [device("cpu", 1)] }))

/** Forwards an operation to any of three hives, whose parts are those of the script, in their order. */
const forward = Effect.fnUntraced(function* (routing: Routing, script: ReadonlyArray<HiveScript>) {
  const { emit, job, log, narrated } = recordedJob()
  const attempts: Array<AttemptRequest> = []
  let refreshes = 0
  const view = Layer.succeed(
    FleetView,
    FleetView.of({
      hasElsewhere: () => true,
      snapshot: () => Effect.succeed(fleet),
      refresh: Effect.sync(() => {
        refreshes++
        return fleet
      })
    })
  )
  const hiveAttempt = Layer.mock(HiveAttempt)({
    run: (attempt) => {
      const { error, events = [] } = script[attempts.length] ?? {}
      attempts.push(attempt)
      return Effect.andThen(attempt.take(events), error === undefined ? Effect.void : Effect.fail(error))
    }
  })
  const registry = Layer.mock(HiveRegistry)({
    list: Effect.succeed([]),
    markAlive: () => {},
    markUnreachable: () => {},
    markStopped: () => {},
    isLost: () => false,
    changes: () => 0,
    onLost: () => () => {}
  })
  const upstream = Layer.mock(Upstream)({ complete: () => () => Effect.die("no request of an application") })
  const request = { name: "model_download", hiveId: "auto", json: "{}", fields: { model: "m", extra: 1 } }
  const result = yield* AutoForwarder.use((auto) =>
    auto.work(request, { ...routing, placedBy: "file" })(job, emit)
  ).pipe(
    Effect.provide(
      Layer.provide(AutoForwarder.layerNoDeps, [
        view,
        hiveAttempt,
        registry,
        upstream,
        Layer.mock(Scheduler)({ explained: () => [] }),
        Settings.layerDefaults({ scheduler: { attempts: 3 } })
      ])
    ),
    Effect.result
  )
  return {
    attempts,
    hives: attempts.map(({ hiveId }) => hiveId),
    log,
    narrated: narrated(),
    refreshes,
    result
  }
})

const refused = new ConnectionFailed({ hive: "atlas", reason: "refused" })
const reset = new ConnectionFailed({ hive: "atlas", reason: "reset" })

describe("AutoForwarder", () => {
  it.effect("forwards all fields of the request to the chosen hive, with its id", () =>
    Effect.gen(function* () {
      const { attempts, narrated, refreshes, result } = yield* forward(hiveGeneration, [
        { events: [JobEvent.token("a")] }
      ])
      assert.isTrue(Result.isSuccess(result))
      const [{ hiveId, json, number, operation } = assert.fail("no attempt")] = attempts
      assert.deepStrictEqual([hiveId, number, operation], ["atlas", 1, "model_download"])
      assert.deepStrictEqual(JSON.parse(json), { model: "m", extra: 1, hive_id: "atlas" })
      assert.deepStrictEqual(narrated, ["choose_hive: Chose hive 'atlas'"])
      assert.strictEqual(refreshes, 0)
    })
  )

  it.effect(
    "chooses another hive for one that cannot be reached, even for work that must not run twice",
    () =>
      Effect.gen(function* () {
        const { attempts, hives, narrated, refreshes, result } = yield* forward(hiveModelCommand, [
          { error: refused },
          { events: [JobEvent.token("a")] }
        ])
        assert.isTrue(Result.isSuccess(result))
        assert.deepStrictEqual(hives, ["atlas", "boreas"])
        assert.deepStrictEqual(
          attempts.map(({ number }) => number),
          [1, 2]
        )
        assert.deepStrictEqual(narrated, [
          "choose_hive: Chose hive 'atlas'",
          `retry: Hive 'atlas' failed before it answered (${refused.message}); trying another hive`,
          "choose_hive: Chose hive 'boreas'"
        ])
        assert.strictEqual(refreshes, 1)
      })
  )

  it.effect("does not repeat work that the hive may have done", () =>
    Effect.gen(function* () {
      const { hives, refreshes, result } = yield* forward(hiveModelCommand, [{ error: reset }])
      assert.deepStrictEqual(result, Result.fail(reset))
      assert.deepStrictEqual([hives, refreshes], [["atlas"], 0])
    })
  )

  it.effect(
    "does not repeat an operation whose answer has begun, or that failed for a reason of its own",
    () =>
      Effect.gen(function* () {
        const begun = yield* forward(hiveDownload, [{ events: [JobEvent.token("a")], error: reset }])
        assert.deepStrictEqual(begun.result, Result.fail(reset))
        const error = new JobFailed({ code: "ModelNotFound", sentence: "no" })
        const failed = yield* forward(hiveDownload, [{ error }])
        assert.deepStrictEqual([failed.result, failed.hives], [Result.fail(error), ["atlas"]])
      })
  )

  it.effect("fails after scheduler.attempts hives, with the last error", () =>
    Effect.gen(function* () {
      const last = new ConnectionFailed({ hive: "caelum", reason: "refused" })
      const { hives, result } = yield* forward(hiveDownload, [
        { error: refused },
        { error: refused },
        { error: last }
      ])
      assert.deepStrictEqual(hives, ["atlas", "boreas", "caelum"])
      assert.deepStrictEqual(result, Result.fail(last))
    })
  )
})
