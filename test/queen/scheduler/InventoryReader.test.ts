import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { DaemonClient } from "../../../src/daemon/DaemonClient.ts"
import { type PeerError, PeerProtocolError, PeerUnreachable } from "../../../src/job/client/clientErrors.ts"
import { HiveInventory } from "../../../src/operation/Inventory.ts"
import type { KnownHive } from "../../../src/queen/registry/HiveRecord.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { InventoryReader } from "../../../src/queen/scheduler/InventoryReader.ts"
import { listedWorker, snapshot } from "../../support/fleetRuns.ts"

const url = "http://atlas:8081"
const hive = (state: KnownHive["record"]["state"]): KnownHive => ({
  record: { alias: "atlas", url, state, source: "config" },
  peer: { url },
  workers: []
})

/** Reads the inventory of a hive with this answer; notes which hives are marked unreachable. */
const read = Effect.fnUntraced(function* (
  answer: Effect.Effect<unknown, PeerError>,
  state: KnownHive["record"]["state"],
  previous: ReturnType<typeof snapshot> | undefined
) {
  const lost: Array<string> = []
  const client = Layer.mock(DaemonClient)({
    inventory: () =>
      Effect.flatMap(answer, (value) => Effect.orDie(Schema.decodeUnknownEffect(HiveInventory)(value)))
  })
  const registry = Layer.mock(HiveRegistry)({
    markAlive: () => {},
    markUnreachable: (alias, reason) => void lost.push(`${alias}: ${reason}`),
    markStopped: () => {},
    isLost: () => false,
    changes: () => 0,
    onLost: () => () => {}
  })
  const reading = yield* Effect.gen(function* () {
    const reader = new InventoryReader(yield* DaemonClient, yield* HiveRegistry)
    return yield* reader.read(hive(state), previous)
  }).pipe(Effect.provide(Layer.merge(client, registry)), Effect.forkChild({ startImmediately: true }))
  yield* TestClock.adjust("2 seconds")
  return { result: yield* Fiber.join(reading), lost }
})

const previous = snapshot("atlas", { workers: [listedWorker("w1")] })
const refused = Effect.fail(new PeerUnreachable({ url, reason: "refused" }))
const invalid = Effect.fail(new PeerProtocolError({ url, detail: "sent something else" }))

describe("InventoryReader", () => {
  it.effect("reads the inventory of a hive", () =>
    Effect.gen(function* () {
      const { inventory } = snapshot("atlas", { workers: [listedWorker("w2")] })
      const { result } = yield* read(Effect.succeed(inventory), "active", previous)
      assert.deepStrictEqual(result, { hive: "atlas", inventory })
    })
  )

  it.effect("gives the previous inventory of an active hive that is late or answers wrongly", () =>
    Effect.gen(function* () {
      for (const answer of [Effect.never, invalid]) {
        const active = yield* read(answer, "active", previous)
        assert.deepStrictEqual([active.result, active.lost], [previous, []])
        assert.isUndefined((yield* read(answer, "unknown", previous)).result)
        const away = { ...previous, away: "its heartbeat is late" }
        assert.isUndefined((yield* read(answer, "active", away)).result)
      }
    })
  )

  it.effect("marks an active hive unreachable that refuses the connection", () =>
    Effect.gen(function* () {
      const active = yield* read(refused, "active", previous)
      assert.deepStrictEqual([active.result, active.lost], [undefined, ["atlas: connection refused"]])
      assert.deepStrictEqual((yield* read(refused, "unknown", previous)).lost, [])
    })
  )
})
