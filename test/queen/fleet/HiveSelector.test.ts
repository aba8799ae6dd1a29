import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { pickModel, ModelUnknown, Upstream } from "../../../src/gateway/upstream/Upstream.ts"
import { CapabilityMissing } from "../../../src/operation/Capabilities.ts"
import { hiveDownload, hiveGeneration, hiveSpawn, type Routing } from "../../../src/operation/Routing.ts"
import { HiveSelector } from "../../../src/queen/fleet/HiveSelector.ts"
import { OperationRun } from "../../../src/queen/fleet/OperationRun.ts"
import type { KnownHive } from "../../../src/queen/registry/HiveRecord.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import type { Decision } from "../../../src/queen/scheduler/decide.ts"
import { NoHiveAnswers, NotPlaceable } from "../../../src/queen/scheduler/errors.ts"
import { FleetView } from "../../../src/queen/scheduler/FleetView.ts"
import type { Outcome } from "../../../src/queen/scheduler/messages.ts"
import { type ReservationRequest, Scheduler } from "../../../src/queen/scheduler/Scheduler.ts"
import { worker } from "../../support/fleetFakes.ts"
import { device, listedWorker, recordedJob, servedModel, snapshot } from "../../support/fleetRuns.ts"

const model = servedModel()
const fields = { model: "tiny", prompt: "Hi", max_tokens: 3 }

interface SelectionTest {
  readonly routing?: Routing
  readonly fields?: { readonly [field: string]: unknown }
  readonly avoided?: ReadonlyArray<readonly [hive: string, worker: string | undefined]>
  readonly decision?: Decision
  /** A hive that reports heartbeats, but no inventory. */
  readonly older?: string
  readonly fleet?: ReadonlyArray<ReturnType<typeof snapshot>>
}

/** Selects a hive in a fleet whose scheduler assigns the worker `w1` of `atlas`. */
const select = Effect.fnUntraced(function* (test: SelectionTest) {
  const { emit, job, narrated } = recordedJob()
  const request = { name: "infer", hiveId: "auto", json: "{}", fields: test.fields ?? fields }
  const run = new OperationRun(request, test.routing ?? hiveGeneration, job, emit)
  for (const [hive, worker] of test.avoided ?? []) run.avoid(hive, worker)
  const reservations: Array<ReservationRequest> = []
  const outcomes: Array<Outcome> = []
  const url = "http://10.0.0.7:8081"
  const older: ReadonlyArray<KnownHive> =
    test.older === undefined
      ? []
      : [
          {
            record: { alias: test.older, url, state: "active", source: "heartbeat" },
            peer: { url },
            workers: []
          }
        ]
  const layers = [
    Layer.mock(Upstream)({
      find: (name) => Effect.fromResult(pickModel([model], name)),
      complete: () => () => Effect.die("no request of an application")
    }),
    Layer.mock(FleetView)({ hasElsewhere: () => true, snapshot: () => Effect.succeed(test.fleet ?? []) }),
    Layer.mock(HiveRegistry)({
      list: Effect.succeed(older),
      markAlive: () => {},
      markUnreachable: () => {},
      markStopped: () => {},
      isLost: () => false,
      changes: () => 0,
      onLost: () => () => {}
    }),
    Layer.mock(Scheduler)({
      reserve: (asked, narrate) => {
        reservations.push(asked)
        narrate("Waiting in position 1: all are busy")
        return Effect.succeed({
          worker: worker("w1"),
          sharedTokens: 0,
          queueMs: 0,
          loadMs: 0,
          release: (outcome: Outcome) => Effect.sync(() => void outcomes.push(outcome))
        })
      },
      place: () => Effect.succeed(test.decision ?? { _tag: "Wait", reason: "no room" }),
      explained: () => []
    })
  ] as const
  const selected = yield* HiveSelector.use((selector) => selector.select(run, 2)).pipe(
    Effect.tap(() => Effect.yieldNow),
    Effect.provide(Layer.provide(HiveSelector.layerNoDeps, [...layers])),
    Effect.scoped
  )
  return { selected, reservations, outcomes, narrated }
})

const hiveOf = (test: SelectionTest) => Effect.map(select(test), ({ selected }) => selected.hive)

describe("an operation that needs a worker", () => {
  it.effect("gets the hive of the worker that the scheduler reserves, and narrates the wait", () =>
    Effect.gen(function* () {
      const { narrated, outcomes, reservations, selected } = yield* select({
        avoided: [["boreas", "boreas/w9"]]
      })
      assert.deepStrictEqual([selected.hive, selected.worker], ["atlas", "atlas/w1"])
      const [{ attempt, avoid, id, key, model } = assert.fail("no reservation")] = reservations
      assert.deepStrictEqual(
        { attempt, avoid, id, key, model },
        { attempt: 2, avoid: ["boreas/w9"], id: "job-1", key: "", model: "rbee:tiny" }
      )
      assert.deepStrictEqual(narrated(), ["wait: Waiting in position 1: all are busy"])
      yield* selected.release("busy")
      assert.deepStrictEqual(outcomes, ["busy"])
    })
  )

  it.effect("gets the hive of the worker that it names, without a reservation", () =>
    Effect.gen(function* () {
      const fleet = [snapshot("boreas", { workers: [listedWorker("w7")] })]
      const named = yield* select({ fleet, fields: { ...fields, worker_id: "w7" } })
      assert.strictEqual(named.selected.hive, "boreas")
      assert.deepStrictEqual(named.reservations, [])
      assert.strictEqual(yield* hiveOf({ fleet, fields: { ...fields, worker_id: "w8" } }), "atlas")
    })
  )

  it.effect("gets an older hive for a model that no inventory lists, and else fails", () =>
    Effect.gen(function* () {
      const unknown = { ...fields, model: "hf:a/b" }
      assert.strictEqual(yield* hiveOf({ fields: unknown, older: "old" }), "old")
      assert.deepStrictEqual(
        yield* Effect.flip(hiveOf({ fields: unknown, older: "old", avoided: [["old", undefined]] })),
        new ModelUnknown({ model: "hf:a/b", known: ["rbee:tiny"] })
      )
    })
  )
})

describe("an operation that needs memory for a worker", () => {
  const place: Decision = { _tag: "Place", hive: "boreas", device: "gpu-0", memoryBytes: 1, evict: [] }

  it.effect("gets the hive where the scheduler would place the worker", () =>
    Effect.gen(function* () {
      const { reservations, selected } = yield* select({ routing: hiveSpawn, decision: place })
      assert.strictEqual(selected.hive, "boreas")
      assert.deepStrictEqual(reservations, [])
    })
  )

  it.effect("fails with the reason if there is none", () =>
    Effect.gen(function* () {
      const failure = (decision: Decision) => Effect.flip(hiveOf({ routing: hiveSpawn, decision }))
      assert.deepStrictEqual(
        yield* failure({ _tag: "Wait", reason: "no room" }),
        new NotPlaceable({ model: "rbee:tiny", reason: "no room" })
      )
      assert.deepStrictEqual(
        yield* failure({ _tag: "Incapable", capability: "tools" }),
        new CapabilityMissing({ model: "rbee:tiny", capability: "tools" })
      )
    })
  )
})

describe("an operation that needs space for a file", () => {
  it.effect("gets a hive by its devices, else an older hive, and fails without any", () =>
    Effect.gen(function* () {
      const routing = hiveDownload
      const unknown = { model: "hf:a/b" }
      const fleet = [snapshot("atlas", { devices: [device("gpu", 1)] })]
      assert.strictEqual(yield* hiveOf({ routing, fleet, fields: unknown, older: "old" }), "atlas")
      assert.strictEqual(yield* hiveOf({ routing, fields: unknown, older: "old" }), "old")
      assert.deepStrictEqual(yield* Effect.flip(hiveOf({ routing, fields: unknown })), new NoHiveAnswers())
    })
  )
})
