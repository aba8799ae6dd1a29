import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { KnownHive } from "../../../src/queen/registry/HiveRecord.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { KnownModels } from "../../../src/queen/registry/KnownModels.ts"
import { AwayHives } from "../../../src/queen/scheduler/AwayHives.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { snapshot } from "../../support/fleetRuns.ts"
import { storedModel } from "../../support/gateway.ts"

const url = "http://atlas:8081"
const hive = (alias: string, changes: Partial<KnownHive["record"]> = {}, sameAs?: string): KnownHive => ({
  record: { alias, url, state: "active", source: "heartbeat", ...changes },
  peer: { url },
  workers: [],
  ...(sameAs === undefined ? {} : { sameAs })
})

const models = [storedModel("rbee:tiny")]
const answers = ["atlas", "boreas", "caelum"].map((alias) => snapshot(alias, { models }))

/**
 * The hives that are away after three hives answered once and then only the first: `before` and `after` are the hives at
 * those times.
 */
const awayAfter = Effect.fnUntraced(function* (
  before: ReadonlyArray<KnownHive>,
  after: ReadonlyArray<KnownHive>
) {
  const registry = Layer.mock(HiveRegistry)({
    list: Effect.succeed(after),
    markAlive: () => {},
    markUnreachable: () => {},
    markStopped: () => {},
    isLost: () => false,
    changes: () => 0,
    onLost: () => () => {}
  })
  const knownModels = Layer.provide(KnownModels.layerMemory, Settings.layerDefaults())
  return yield* Effect.gen(function* () {
    const awayHives = new AwayHives(yield* HiveRegistry, yield* KnownModels)
    assert.deepStrictEqual(yield* awayHives.list(before, answers), [])
    const away = yield* awayHives.list(after, answers.slice(0, 1))
    for (const { inventory } of away) assert.deepStrictEqual(inventory, { devices: [], models, workers: [] })
    return away.map(({ away, hive }) => `${hive}: ${away}`)
  }).pipe(Effect.provide(Layer.merge(registry, knownModels)), Effect.scoped)
})

const present = ["atlas", "boreas", "caelum"].map((alias) => hive(alias))

describe("AwayHives", () => {
  it.effect("lists the models of hives that no longer answer, with the reason", () =>
    Effect.gen(function* () {
      const after = [
        hive("atlas"),
        hive("boreas", { state: "unreachable", reason: "connection refused" }),
        hive("caelum", { state: "stale" })
      ]
      assert.deepStrictEqual(yield* awayAfter(present, after), [
        "boreas: connection refused",
        "caelum: its heartbeat is late"
      ])
    })
  )

  it.effect(
    "keeps the models of a hive that is known from heartbeats only, and was not seen since the start",
    () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* awayAfter(present, [hive("atlas")]), [
          "boreas: no heartbeat has arrived yet",
          "caelum: no heartbeat has arrived yet"
        ])
      })
  )

  it.effect("forgets a hive that was removed from hives.conf, or that is another name of one", () =>
    Effect.gen(function* () {
      const configured = present.map(({ record }) => hive(record.alias, { source: "config" }))
      const after = [hive("atlas", { source: "config" }), hive("caelum", { source: "config" }, "atlas")]
      assert.deepStrictEqual(yield* awayAfter(configured, after), [])
    })
  )
})
