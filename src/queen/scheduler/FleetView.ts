import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import { type PeerError, reasonText } from "../../job/client/clientErrors.ts"
import { JobsClient } from "../../job/client/JobsClient.ts"
import { HiveInventory } from "../../operation/Inventory.ts"
import type { KnownHive } from "../registry/HiveRecord.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import { type HiveModels, KnownModels } from "../registry/KnownModels.ts"

/** The last inventory of a hive. */
export interface HiveSnapshot {
  readonly hive: string
  readonly inventory: HiveInventory
  /** Why the hive is away: nothing can run on it, and only its models are known. */
  readonly away?: string
}

/** The last inventories of all hives. */
export class FleetView extends Context.Service<
  FleetView,
  {
    /**
     * The inventories, requested again if they are older than `maxAge` milliseconds, or if a hive was lost or recovered
     * since. Takes two seconds at most.
     */
    readonly snapshot: (maxAge: number) => Effect.Effect<ReadonlyArray<HiveSnapshot>>
    /** Inventories requested after this call, at most four times a second for all callers. */
    readonly refresh: Effect.Effect<ReadonlyArray<HiveSnapshot>>
  }
>()("rbee/queen/scheduler/FleetView") {
  static readonly layerNoDeps = Layer.effect(
    FleetView,
    Effect.suspend(() => make)
  )
}

const requestTimeout = "2 seconds"
const maxConcurrentRequests = 16
const refreshPause = 250

const awaySnapshot = (hive: string, { models }: Pick<HiveModels, "models">, away: string): HiveSnapshot => ({
  hive,
  inventory: { devices: [], models, workers: [] },
  away
})

/** Why a hive without an inventory is away. */
const awayReason = (hive: KnownHive | undefined) =>
  hive?.record.reason ??
  (hive?.record.state === "stale" ? "its heartbeat is late" : "no heartbeat has arrived yet")

/** Requests inventories; `previous` is the last inventory of a hive, kept if an active hive is slow to answer. */
const makeReader = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const client = yield* JobsClient

  const onFailure = (
    { record }: KnownHive,
    previous: HiveSnapshot | undefined,
    error: PeerError | undefined
  ): HiveSnapshot | undefined => {
    if (error?._tag === "PeerUnreachable" && error.reason === "refused") {
      if (record.state === "active") registry.markUnreachable(record.alias, reasonText.refused)
      return undefined
    }
    return record.state === "active" && previous?.away === undefined ? previous : undefined
  }

  return (hive: KnownHive, previous: HiveSnapshot | undefined) =>
    client.get(hive.peer, "/v1/inventory", HiveInventory).pipe(
      Effect.timeout(requestTimeout),
      Effect.map((inventory): HiveSnapshot | undefined => ({ hive: hive.record.alias, inventory })),
      Effect.catchTag("TimeoutError", () => Effect.sync(() => onFailure(hive, previous, undefined))),
      Effect.catch((error) => Effect.sync(() => onFailure(hive, previous, error)))
    )
})

/** Remembers the models of hives that answer; adds those of hives that are away. */
const makeAwayHives = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const knownModels = yield* KnownModels

  return Effect.fnUntraced(function* (hives: ReadonlyArray<KnownHive>, answers: ReadonlyArray<HiveSnapshot>) {
    const byAlias = new Map(hives.map((hive) => [hive.record.alias, hive]))
    yield* knownModels.record(
      new Map(
        answers.map(({ hive, inventory: { models } }) => {
          const isConfigured = byAlias.get(hive)?.record.source === "config"
          return [hive, { models, isConfigured }]
        })
      )
    )
    const present = new Set(answers.map(({ hive }) => hive))
    // The requests may have changed the state of hives.
    const current = new Map((yield* registry.list).map((hive) => [hive.record.alias, hive]))
    const away: Array<HiveSnapshot> = []
    for (const [alias, models] of yield* knownModels.all) {
      if (present.has(alias)) continue
      const isRemoved = models.isConfigured && !byAlias.has(alias)
      if (isRemoved || byAlias.get(alias)?.sameAs !== undefined) yield* knownModels.forget(alias)
      else away.push(awaySnapshot(alias, models, awayReason(current.get(alias))))
    }
    return away
  })
})

const make = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const clock = yield* Clock.Clock
  const readInventory = yield* makeReader
  const awayHives = yield* makeAwayHives
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
      (hive) => readInventory(hive, previous.get(hive.record.alias)),
      { concurrency: maxConcurrentRequests }
    )).filter((answer) => answer !== undefined)
    known = [...answers, ...(yield* awayHives(hives, answers))]
    refreshedAt = startedAt
    seenChanges = changes
  })

  const isOlder = (since: number) => refreshedAt < since || seenChanges !== registry.changes()

  const pause = Effect.suspend(() => {
    const age = clock.currentTimeMillisUnsafe() - refreshedAt
    return age < refreshPause ? Effect.sleep(refreshPause - age) : Effect.void
  })

  return FleetView.of({
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
