import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import { DaemonClient } from "../../daemon/DaemonClient.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import { KnownModels } from "../registry/KnownModels.ts"
import { AwayHives } from "./AwayHives.ts"
import type { HiveSnapshot } from "./HiveSnapshot.ts"
import { InventoryReader } from "./InventoryReader.ts"

/** The last inventories of all hives. */
export class FleetView extends Context.Service<
  FleetView,
  {
    /**
     * The inventories, requested again if they are older than `maxAge` milliseconds, or if a hive was lost or recovered
     * since. Takes two seconds at most.
     */
    readonly snapshot: (maxAge: number) => Effect.Effect<ReadonlyArray<HiveSnapshot>>
    /** Whether a hive that answers, other than this one, has the model's file, as of the last inventories. */
    readonly hasElsewhere: (model: string, hive: string) => boolean
    /** Inventories requested after this call, at most four times a second for all callers. */
    readonly refresh: Effect.Effect<ReadonlyArray<HiveSnapshot>>
  }
>()("rbee/queen/scheduler/FleetView") {
  static readonly layerNoDeps = Layer.effect(
    FleetView,
    Effect.suspend(() => make)
  )
}

const maxConcurrentRequests = 16
const refreshPause = 250

const make = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const clock = yield* Clock.Clock
  const reader = new InventoryReader(yield* DaemonClient, registry)
  const awayHives = new AwayHives(registry, yield* KnownModels)
  // Callers that arrive during a refresh wait for its result.
  const lock = yield* Semaphore.make(1)
  let known: ReadonlyArray<HiveSnapshot> = []
  let refreshedAt = Number.NEGATIVE_INFINITY
  let seenChanges = -1

  const refreshNow = Effect.gen(function* () {
    const startedAt = clock.currentTimeMillisUnsafe()
    // A hive that is lost or recovers during the requests makes this result stale.
    const changes = registry.changes()
    const hives = yield* registry.list
    const reachable = hives.filter(
      ({ record, sameAs }) =>
        sameAs === undefined && (record.state === "active" || record.state === "unknown")
    )
    const previous = new Map(known.map((snapshot) => [snapshot.hive, snapshot]))
    const answers = (yield* Effect.forEach(
      reachable,
      (hive) => reader.read(hive, previous.get(hive.record.alias)),
      { concurrency: maxConcurrentRequests }
    )).filter((answer) => answer !== undefined)
    known = [...answers, ...(yield* awayHives.list(hives, answers))]
    refreshedAt = startedAt
    seenChanges = changes
  })

  const isOlder = (since: number) => refreshedAt < since || seenChanges !== registry.changes()

  const pause = Effect.suspend(() => {
    const age = clock.currentTimeMillisUnsafe() - refreshedAt
    return age < refreshPause ? Effect.sleep(refreshPause - age) : Effect.void
  })

  return FleetView.of({
    hasElsewhere: (model, hive) =>
      known.some(
        (snapshot) =>
          snapshot.hive !== hive &&
          snapshot.away === undefined &&
          snapshot.inventory.models.some(({ id }) => id === model)
      ),
    snapshot: Effect.fnUntraced(function* (maxAge) {
      const since = clock.currentTimeMillisUnsafe() - maxAge
      if (isOlder(since)) {
        yield* lock.withPermit(Effect.suspend(() => (isOlder(since) ? refreshNow : Effect.void)))
      }
      return known
    }),
    refresh: Effect.suspend(() => {
      const since = clock.currentTimeMillisUnsafe()
      const refreshIfOlder = Effect.suspend(() =>
        refreshedAt <= since ? Effect.andThen(pause, refreshNow) : Effect.void
      )
      return Effect.map(lock.withPermit(refreshIfOlder), () => known)
    })
  })
})
