import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import { TestClock } from "effect/testing"
import { DaemonClient } from "../../../src/daemon/DaemonClient.ts"
import { PeerUnreachable } from "../../../src/job/client/clientErrors.ts"
import { Heartbeat } from "../../../src/operation/Heartbeat.ts"
import { hiveHealth } from "../../../src/queen/registry/HiveHealth.ts"
import type { KnownHive } from "../../../src/queen/registry/HiveRecord.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { Settings } from "../../../src/settings/Settings.ts"

const last_heartbeat = "1970-01-01T00:00:00.000Z"

/** A hive whose last heartbeat came at the time `lastSeen`; undefined: none has come. */
const hive = (alias: string, lastSeen?: number): KnownHive => ({
  record: {
    alias,
    url: `http://${alias}:8081`,
    state: "active",
    source: "config",
    ...(lastSeen === undefined ? {} : { last_heartbeat })
  },
  peer: { url: `http://${alias}:8081` },
  workers: [],
  ...(lastSeen === undefined ? {} : { lastSeen })
})

/** Runs the health checks for two rounds after a late heartbeat; `dead`: the hives that refuse the connection. */
const rounds = Effect.fnUntraced(function* (hives: ReadonlyArray<KnownHive>, dead: ReadonlyArray<string>) {
  const probed: Array<string> = []
  const lost: Array<string> = []
  const logged: Array<unknown> = []
  const client = Layer.mock(DaemonClient)({
    heartbeat: ({ url }) =>
      Effect.suspend(() => {
        const alias = new URL(url).hostname
        probed.push(alias)
        return dead.includes(alias)
          ? Effect.fail(new PeerUnreachable({ url, reason: "refused" }))
          : Effect.orDie(Schema.decodeUnknownEffect(Heartbeat)({ hive_id: alias, workers: [] }))
      })
  })
  const registry = Layer.mock(HiveRegistry)({
    list: Effect.succeed(hives),
    recordHeartbeat: () => Effect.void,
    markAlive: () => {},
    markUnreachable: (alias) => void lost.push(alias),
    markStopped: () => {},
    isLost: (alias) => lost.includes(alias),
    changes: () => 0,
    onLost: () => () => {}
  })
  const logger = Logger.make(({ message }) => void logged.push(Array.isArray(message) ? message[0] : message))
  yield* Layer.build(
    Layer.provide(hiveHealth, [client, registry, Settings.layerDefaults(), Logger.layer([logger])])
  ).pipe(Effect.andThen(TestClock.adjust("6250 millis")), Effect.scoped)
  return { probed, lost: [...new Set(lost)], logged }
})

describe("hiveHealth", () => {
  it.effect("probes hives whose heartbeat is late, and no others", () =>
    Effect.gen(function* () {
      const { lost, probed } = yield* rounds([hive("late", 0), hive("recent", 6_000)], [])
      assert.deepStrictEqual(new Set(probed), new Set(["late"]))
      assert.deepStrictEqual(lost, [])
    })
  )

  it.effect("marks a hive unreachable that does not answer, after the others were probed too", () =>
    Effect.gen(function* () {
      const hives = [hive("a", 0), hive("b", 6_000), hive("c", 6_000)]
      const { logged, lost, probed } = yield* rounds(hives, ["a"])
      assert.deepStrictEqual(lost, ["a"])
      assert.deepStrictEqual(new Set(probed), new Set(["a", "b", "c"]))
      assert.deepStrictEqual(logged, [])
    })
  )

  it.effect("suspects this machine's network if most hives are silent at once, and warns once", () =>
    Effect.gen(function* () {
      const hives = ["a", "b", "c", "d"].map((alias) => hive(alias, 0))
      const { logged, lost } = yield* rounds(hives, ["a", "b", "c"])
      assert.deepStrictEqual(lost, [])
      assert.deepStrictEqual(logged, ["most hives became unreachable at once; check this machine's network"])
    })
  )

  it.effect("marks a hive unreachable that never sent a heartbeat, whatever the others do", () =>
    Effect.gen(function* () {
      const hives = [...["a", "b", "c"].map((alias) => hive(alias, 0)), hive("never")]
      const { lost } = yield* rounds(hives, ["a", "b", "c", "never"])
      assert.deepStrictEqual(lost, ["never"])
    })
  )
})
