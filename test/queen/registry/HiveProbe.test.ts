import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { DaemonClient } from "../../../src/daemon/DaemonClient.ts"
import { type PeerError, PeerRefused, PeerUnreachable } from "../../../src/job/client/clientErrors.ts"
import { Heartbeat } from "../../../src/operation/Heartbeat.ts"
import { HiveProbe } from "../../../src/queen/registry/HiveProbe.ts"
import type { KnownHive } from "../../../src/queen/registry/HiveRecord.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"

const url = "http://10.0.0.7:8081"
const interval = 5_000

const hive = (changes: Partial<KnownHive["record"]> = {}, lastSeen?: number): KnownHive => ({
  record: { alias: "atlas", url, state: "active", source: "config", ...changes },
  peer: { url },
  workers: [],
  ...(lastSeen === undefined ? {} : { lastSeen })
})

const heartbeatOf = (hive_id: string) => Effect.succeed({ hive_id, workers: [] })

interface ProbeTest {
  /** What the daemon answers to the request for its heartbeat. */
  readonly heartbeat: Effect.Effect<unknown, PeerError>
  readonly health?: Effect.Effect<string, PeerError>
}

const probeOf = Effect.fnUntraced(function* ({ health, heartbeat }: ProbeTest) {
  const recorded: Array<string> = []
  const client = Layer.mock(DaemonClient)({
    heartbeat: () =>
      Effect.flatMap(heartbeat, (value) => Effect.orDie(Schema.decodeUnknownEffect(Heartbeat)(value))),
    health: () => Effect.asVoid(health ?? Effect.die("no health check is needed"))
  })
  const registry = Layer.mock(HiveRegistry)({
    recordHeartbeat: ({ hive_id, url }) =>
      Effect.sync(() => void recorded.push(`heartbeat ${hive_id} ${url}`)),
    markAlive: (alias) => void recorded.push(`alive ${alias}`),
    markUnreachable: () => {},
    markStopped: () => {},
    isLost: () => false,
    changes: () => 0,
    onLost: () => () => {}
  })
  const context = yield* Layer.build(Layer.merge(client, registry))
  const probe = yield* Effect.gen(function* () {
    return new HiveProbe(yield* DaemonClient, yield* HiveRegistry, yield* Clock.Clock, interval)
  }).pipe(Effect.provide(context))
  return { probe, recorded }
})

const refused = Effect.fail(new PeerUnreachable({ url, reason: "refused" }))
const notFound = Effect.fail(new PeerRefused({ url, status: 404, detail: "no such path" }))

describe("HiveProbe", () => {
  it.effect("records the heartbeat of a hive that answers, under the name that hives.conf gives it", () =>
    Effect.gen(function* () {
      const { probe, recorded } = yield* probeOf({ heartbeat: heartbeatOf("its-own-id") })
      assert.deepStrictEqual(yield* probe.silent([hive()]), [])
      assert.deepStrictEqual(recorded, [`heartbeat atlas ${url}`])
    })
  )

  it.effect("requires a hive that is known from heartbeats to confirm its id", () =>
    Effect.gen(function* () {
      const { probe, recorded } = yield* probeOf({ heartbeat: heartbeatOf("boreas") })
      assert.deepStrictEqual(yield* probe.silent([hive({ source: "heartbeat" })]), [
        {
          alias: "atlas",
          reason: `The daemon at ${url} is hive 'boreas', not 'atlas'`,
          hadHeartbeat: false,
          mayBeBusy: false
        }
      ])
      assert.deepStrictEqual(recorded, [])
    })
  )

  it.effect("checks the health of a configured hive that has no heartbeat endpoint", () =>
    Effect.gen(function* () {
      const alive = yield* probeOf({ heartbeat: notFound, health: Effect.succeed("ok") })
      assert.deepStrictEqual(yield* alive.probe.silent([hive()]), [])
      assert.deepStrictEqual(alive.recorded, ["alive atlas"])
      const dead = yield* probeOf({ heartbeat: notFound, health: refused })
      assert.lengthOf(yield* dead.probe.silent([hive()]), 1)
      const unknown = yield* probeOf({ heartbeat: notFound })
      assert.lengthOf(yield* unknown.probe.silent([hive({ source: "heartbeat" })]), 1)
    })
  )

  it.effect("reports a hive that refuses the connection, and whether it had sent heartbeats", () =>
    Effect.gen(function* () {
      const { probe } = yield* probeOf({ heartbeat: refused })
      const last_heartbeat = "2026-01-02T03:04:05.000Z"
      const [silent] = yield* probe.silent([hive({ last_heartbeat }, 0)])
      assert.deepStrictEqual([silent?.hadHeartbeat, silent?.mayBeBusy], [true, false])
      assert.include(silent?.reason, "connection refused")
    })
  )

  it.effect("reports a hive as silent after two seconds; it may be busy if it sent a heartbeat lately", () =>
    Effect.gen(function* () {
      const { probe } = yield* probeOf({ heartbeat: Effect.never })
      const hives = [hive({ alias: "late" }, 5_000), hive({ alias: "gone" }, 4_499), hive({ alias: "never" })]
      yield* TestClock.adjust("10 seconds")
      const probing = yield* Effect.forkChild(probe.silent(hives), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(
        (yield* Fiber.join(probing)).map(({ alias, mayBeBusy }) => [alias, mayBeBusy]),
        [
          ["late", true],
          ["gone", false],
          ["never", false]
        ]
      )
    })
  )
})
