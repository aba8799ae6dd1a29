import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Token } from "../../../src/access/Token.ts"
import { HivesConf } from "../../../src/hives/HivesConf.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { Settings } from "../../../src/settings/Settings.ts"

const layer = HiveRegistry.layerNoDeps.pipe(
  Layer.provide([HivesConf.layerMemory([]), Settings.layerDefaults(), Token.layerMemory()])
)

const beat = (workers = 0) => ({
  hive_id: "atlas",
  url: "http://127.0.0.1:9000",
  workers: Array.from({ length: workers }, (_, i) => ({ worker_id: `w-${i}`, state: "ready", model_id: "m" }))
})

const recordOf = Effect.map(
  HiveRegistry.use((registry) => registry.find("atlas")),
  ({ record }) => record
)

describe("HiveRegistry", () => {
  it.effect("lists a hive as active for 30 s after each heartbeat", () =>
    Effect.gen(function* () {
      const registry = yield* HiveRegistry
      yield* registry.recordHeartbeat(beat(), "127.0.0.1")
      yield* TestClock.adjust("29999 millis")
      assert.strictEqual((yield* recordOf).state, "active")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* recordOf).state, "stale")
      yield* registry.recordHeartbeat(beat(), "127.0.0.1")
      assert.strictEqual((yield* recordOf).state, "active")
    }).pipe(Effect.provide(layer))
  )

  it.effect("treats running work as a sign of life, and keeps the address of an unreachable hive", () =>
    Effect.gen(function* () {
      const registry = yield* HiveRegistry
      yield* registry.recordHeartbeat(beat(2), "127.0.0.1")
      yield* TestClock.adjust("1 minute")
      registry.markAlive("atlas")
      assert.deepInclude(yield* recordOf, { state: "active", workers: 2 })
      yield* TestClock.adjust("1 minute")
      registry.markUnreachable("atlas", "connection refused")
      assert.deepInclude(yield* recordOf, {
        state: "unreachable",
        reason: "connection refused",
        url: "http://127.0.0.1:9000"
      })
      registry.markAlive("atlas")
      assert.notProperty(yield* recordOf, "reason")
    }).pipe(Effect.provide(layer))
  )

  it.effect("records the heartbeat of a hive with 50 workers in under a millisecond of CPU", () =>
    Effect.gen(function* () {
      const registry = yield* HiveRegistry
      const beats = 1000
      for (let i = 0; i < 100; i++) yield* registry.recordHeartbeat(beat(50), "127.0.0.1")
      const before = process.cpuUsage()
      for (let i = 0; i < beats; i++) yield* registry.recordHeartbeat(beat(50), "127.0.0.1")
      const { system, user } = process.cpuUsage(before)
      assert.isBelow((user + system) / beats, 1000)
    }).pipe(Effect.provide(layer))
  )
})
