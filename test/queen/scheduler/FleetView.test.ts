import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { type PeerError, PeerMisspoke, PeerUnreachable } from "../../../src/job/clientErrors.ts"
import { JobsClient } from "../../../src/job/JobsClient.ts"
import type { HiveInventory } from "../../../src/operation/Inventory.ts"
import { HiveRegistry, type KnownHive } from "../../../src/queen/HiveRegistry.ts"
import { FleetView } from "../../../src/queen/scheduler/FleetView.ts"

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

/** What is seen at once, and a while later, when the only hive answers so: how many models and workers. */
const seenWhen = Effect.fnUntraced(function* (
  later: Effect.Effect<HiveInventory, PeerError>,
  state: KnownHive["record"]["state"] = "active"
) {
  let isLater = false
  const client = Layer.mock(JobsClient)({
    get: (_peer, _path, schema) =>
      Effect.flatMap(isLater ? later : Effect.succeed(inventory), (inventory) =>
        Effect.orDie(Schema.decodeUnknownEffect(schema)(inventory))
      )
  })
  const registry = Layer.mock(HiveRegistry)({
    list: Effect.sync(() => [known(isLater ? state : "active")]),
    heard: () => undefined
  })
  const view = yield* Effect.provide(
    FleetView,
    yield* Layer.build(FleetView.layerNoDeps.pipe(Layer.provide([client, registry])))
  )
  const first = yield* view.look(0)
  isLater = true
  yield* TestClock.adjust("1 second")
  const looking = yield* Effect.forkChild(view.look(500))
  yield* TestClock.adjust("3 seconds")
  const count = (stocks: typeof first) =>
    stocks.map(({ inventory: { models, workers } }) => `${models.length} ${workers.length}`).join()
  return [count(first), count(yield* Fiber.join(looking))]
})

describe("FleetView", () => {
  it.effect(
    "asks the hives after a refresh was wanted, once for all who want it and four times a second",
    () =>
      Effect.gen(function* () {
        let asked = 0
        const client = Layer.mock(JobsClient)({
          get: (_peer, _path, schema) =>
            Effect.suspend(() => {
              asked++
              return Effect.delay(Effect.orDie(Schema.decodeUnknownEffect(schema)(inventory)), "100 millis")
            })
        })
        const registry = Layer.mock(HiveRegistry)({
          list: Effect.succeed([known("active")]),
          heard: () => undefined
        })
        const view = yield* Effect.provide(
          FleetView,
          yield* Layer.build(FleetView.layerNoDeps.pipe(Layer.provide([client, registry])))
        )
        const first = yield* Effect.forkChild(view.look(0))
        yield* TestClock.adjust("50 millis")
        // What is asked for now may have come after the hive began to answer the first.
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

  it.effect("keeps what a hive had that is late, or misspeaks, as long as it is well", () =>
    Effect.gen(function* () {
      const misspeaks = Effect.fail(new PeerMisspoke({ url, detail: "sent something else" }))
      for (const later of [Effect.never, misspeaks]) {
        assert.deepStrictEqual(yield* seenWhen(later), ["1 1", "1 1"])
        assert.deepStrictEqual(yield* seenWhen(later, "stale"), ["1 1", ""])
      }
    }).pipe(Effect.scoped)
  )

  it.effect(
    "takes nothing for there to run on where nobody listens any more, however lately the hive was heard of",
    () =>
      Effect.gen(function* () {
        const refused = Effect.fail(new PeerUnreachable({ url, reason: "refused" }))
        assert.deepStrictEqual(yield* seenWhen(refused), ["1 1", "1 0"])
      }).pipe(Effect.scoped)
  )
})
