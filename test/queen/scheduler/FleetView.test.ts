import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { DaemonClient } from "../../../src/daemon/DaemonClient.ts"
import { type PeerError, PeerProtocolError, PeerUnreachable } from "../../../src/job/client/clientErrors.ts"
import type { HiveInventory } from "../../../src/operation/Inventory.ts"
import type { KnownHive } from "../../../src/queen/registry/HiveRecord.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { KnownModels } from "../../../src/queen/registry/KnownModels.ts"
import { FleetView } from "../../../src/queen/scheduler/FleetView.ts"
import { Settings } from "../../../src/settings/Settings.ts"

const url = "http://127.0.0.1:1"
const model = {
  id: "rbee:tiny",
  size_bytes: 1,
  memory_bytes: 1,
  worker_context: 512,
  worker_slots: 1,
  token_bytes: 1,
  architecture: "llama",
  parameters: 1,
  context_length: 512,
  quantisation: "Q8_0",
  chat_template: true
}
const worker = {
  worker_id: "tiny-1",
  state: "ready",
  model_id: model.id,
  engine: "llama",
  device: "cpu-0",
  slots: 1,
  busy: 0,
  context_size: 512,
  memory_bytes: 1
} as const
const inventory: HiveInventory = { devices: [], models: [model], workers: [worker] }

const known = (state: KnownHive["record"]["state"]): KnownHive => ({
  record: { alias: "atlas", url, state, source: "config", workers: 0 },
  peer: { url },
  workers: []
})

const settings = Settings.layerDefaults({ heartbeat: { forget: Duration.hours(24) } })

/** A registry that records nothing. */
const quiet = {
  markAlive: () => {},
  markUnreachable: () => {},
  isLost: () => false,
  markStopped: () => {},
  onLost: () => () => {},
  changes: () => 0
}

const viewOver = (client: Layer.Layer<DaemonClient>, registry: Layer.Layer<HiveRegistry>) =>
  Effect.flatMap(
    Layer.build(
      FleetView.layerNoDeps.pipe(
        Layer.provide([client, registry, KnownModels.layerMemory]),
        Layer.provide(settings)
      )
    ),
    (context) => Effect.provide(FleetView, context)
  )

/** A fleet of one hive, whose state and answer a test sets. */
const fleetOf = Effect.fnUntraced(function* () {
  let answer: Effect.Effect<HiveInventory, PeerError> = Effect.succeed(inventory)
  let hive: KnownHive | undefined = known("active")
  let changes = 0
  let requests = 0
  const client = Layer.mock(DaemonClient)({
    inventory: () =>
      Effect.suspend(() => {
        requests++
        return answer
      })
  })
  const registry = Layer.mock(HiveRegistry)({
    list: Effect.sync(() => (hive === undefined ? [] : [hive])),
    ...quiet,
    markUnreachable: (_alias, reason) => {
      const lost = known("unreachable")
      hive = { ...lost, record: { ...lost.record, reason } }
      changes++
    },
    changes: () => changes
  })
  const view = yield* viewOver(client, registry)
  const look = (maxAge: number) =>
    Effect.gen(function* () {
      const looking = yield* Effect.forkChild(view.snapshot(maxAge))
      yield* TestClock.adjust("3 seconds")
      return (yield* Fiber.join(looking)).map(
        ({ away, inventory: { models, workers } }) => `${models.length} ${workers.length} ${away ?? "here"}`
      )
    })
  return {
    look,
    requests: () => requests,
    answers: (next: Effect.Effect<HiveInventory, PeerError>) => {
      answer = next
    },
    becomes: (state: KnownHive["record"]["state"] | undefined) => {
      hive = state === undefined ? undefined : known(state)
      changes++
    }
  }
})

describe("FleetView", () => {
  it.effect(
    "requests inventories after a refresh was called, once for all callers and at most four times a second",
    () =>
      Effect.gen(function* () {
        let asked = 0
        const client = Layer.mock(DaemonClient)({
          inventory: () =>
            Effect.suspend(() => {
              asked++
              return Effect.delay(Effect.succeed(inventory), "100 millis")
            })
        })
        const registry = Layer.mock(HiveRegistry)({ ...quiet, list: Effect.succeed([known("active")]) })
        const view = yield* viewOver(client, registry)
        const first = yield* Effect.forkChild(view.snapshot(0))
        yield* TestClock.adjust("50 millis")
        // The answer to the first request may be older than these calls.
        const later = yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: 50 }, () => view.refresh),
            { concurrency: "unbounded" }
          )
        )
        yield* TestClock.adjust("50 millis")
        assert.lengthOf(yield* Fiber.join(first), 1)
        assert.strictEqual(asked, 1)
        yield* TestClock.adjust("149 millis")
        assert.strictEqual(asked, 1)
        yield* TestClock.adjust("101 millis")
        assert.lengthOf(yield* Fiber.join(later), 50)
        assert.strictEqual(asked, 2)
        const after = yield* Effect.forkChild(view.refresh)
        yield* TestClock.adjust("1 second")
        assert.lengthOf(yield* Fiber.join(after), 1)
        assert.strictEqual(asked, 3)
      }).pipe(Effect.scoped)
  )

  it.effect("keeps the inventory of an active hive that answers late or with an invalid response", () =>
    Effect.gen(function* () {
      const invalid = Effect.fail(new PeerProtocolError({ url, detail: "sent something else" }))
      for (const later of [Effect.never, invalid]) {
        const fleet = yield* fleetOf()
        assert.deepStrictEqual(yield* fleet.look(0), ["1 1 here"])
        fleet.answers(later)
        assert.deepStrictEqual(yield* fleet.look(500), ["1 1 here"])
        fleet.becomes("stale")
        assert.deepStrictEqual(yield* fleet.look(500), ["1 0 its heartbeat is late"])
      }
    }).pipe(Effect.scoped)
  )

  it.effect(
    "marks a hive unreachable that refuses the connection, even if it is active, and keeps its models",
    () =>
      Effect.gen(function* () {
        const fleet = yield* fleetOf()
        yield* fleet.look(0)
        fleet.answers(Effect.fail(new PeerUnreachable({ url, reason: "refused" })))
        assert.deepStrictEqual(yield* fleet.look(500), ["1 0 connection refused"])
        fleet.answers(Effect.succeed(inventory))
        fleet.becomes("active")
        assert.deepStrictEqual(yield* fleet.look(Number.POSITIVE_INFINITY), ["1 1 here"])
      }).pipe(Effect.scoped)
  )

  it.effect(
    "requests inventories at once when a hive was lost or stopped, and none while nothing changes",
    () =>
      Effect.gen(function* () {
        for (const state of ["unreachable", "stopped", "unknown"] as const) {
          const fleet = yield* fleetOf()
          yield* fleet.look(0)
          yield* fleet.look(Number.POSITIVE_INFINITY)
          assert.strictEqual(fleet.requests(), 1)
          fleet.answers(Effect.fail(new PeerUnreachable({ url, reason: "timeout" })))
          fleet.becomes(state)
          assert.deepStrictEqual(yield* fleet.look(Number.POSITIVE_INFINITY), [
            "1 0 no heartbeat has arrived yet"
          ])
        }
      }).pipe(Effect.scoped)
  )

  it.effect(
    "forgets a deleted model, a hive removed from hives.conf, and a hive that was away for a day",
    () =>
      Effect.gen(function* () {
        const fleet = yield* fleetOf()
        yield* fleet.look(0)
        fleet.answers(Effect.succeed({ ...inventory, models: [], workers: [] }))
        assert.deepStrictEqual(yield* fleet.look(0), ["0 0 here"])

        fleet.answers(Effect.succeed(inventory))
        yield* fleet.look(0)
        fleet.becomes("unreachable")
        yield* TestClock.adjust("23 hours")
        assert.deepStrictEqual(yield* fleet.look(0), ["1 0 no heartbeat has arrived yet"])
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* fleet.look(0), [])

        fleet.becomes("active")
        yield* fleet.look(0)
        fleet.becomes(undefined)
        assert.deepStrictEqual(yield* fleet.look(0), [])
      }).pipe(Effect.scoped)
  )
})
