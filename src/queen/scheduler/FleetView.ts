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

/** A hive with what it told last. */
export interface HiveSnapshot {
  readonly hive: string
  readonly inventory: HiveInventory
  /** Why nothing can run on the hive now: it is away, and only the models that it had are known. */
  readonly away?: string
}

/** What the hives have, as they told last. */
export class FleetView extends Context.Service<
  FleetView,
  {
    /**
     * What is known, asked anew if it is older than `maxAge` milliseconds, or a hive was lost or came back since. Takes
     * two seconds at most.
     */
    readonly snapshot: (maxAge: number) => Effect.Effect<ReadonlyArray<HiveSnapshot>>
    /** What the hives have now: they are asked after this call, at most four times a second for all callers. */
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

const awayStock = (hive: string, { models }: Pick<HiveModels, "models">, away: string): HiveSnapshot => ({
  hive,
  inventory: { devices: [], models, workers: [] },
  away
})

/** Why a hive is away that was not asked. */
const whyAway = (hive: KnownHive | undefined) =>
  hive?.record.reason ??
  (hive?.record.state === "stale" ? "it has not been heard of lately" : "it has not been heard of yet")

const make = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const memory = yield* KnownModels
  const client = yield* JobsClient
  const clock = yield* Clock.Clock
  // Whoever comes while somebody looks waits for what he sees.
  const turn = yield* Semaphore.make(1)
  let known: ReadonlyArray<HiveSnapshot> = []
  let seenAt = Number.NEGATIVE_INFINITY
  let seenChanges = -1

  // A hive that is active and late with its answer has what it had.
  const onFailure = ({ record }: KnownHive, error: PeerError | undefined): HiveSnapshot | undefined => {
    if (error?._tag === "PeerUnreachable" && error.reason === "refused") {
      if (record.state === "active") registry.markUnreachable(record.alias, reasonText.refused)
      return undefined
    }
    const had = known.find(({ hive }) => hive === record.alias)
    return record.state === "active" && had?.away === undefined ? had : undefined
  }

  const ask = (hive: KnownHive) =>
    client.get(hive.peer, "/v1/inventory", HiveInventory).pipe(
      Effect.timeout(requestTimeout),
      Effect.map((inventory): HiveSnapshot | undefined => ({ hive: hive.record.alias, inventory })),
      Effect.catchTag("TimeoutError", () => Effect.sync(() => onFailure(hive, undefined))),
      Effect.catch((error) => Effect.sync(() => onFailure(hive, error)))
    )

  const lookNow = Effect.gen(function* () {
    const startedAt = clock.currentTimeMillisUnsafe()
    // A hive that is lost or comes back meanwhile may have been asked before: the next look asks again.
    const changes = registry.changes()
    const hives = yield* registry.list
    const reachable = hives.filter(
      ({ record, sameAs }) =>
        sameAs === undefined && (record.state === "active" || record.state === "unknown")
    )
    const answers = yield* Effect.forEach(reachable, ask, { concurrency: maxConcurrentRequests })
    const stocks = answers.filter((stock) => stock !== undefined)
    const byAlias = new Map(hives.map((hive) => [hive.record.alias, hive]))
    yield* memory.record(
      new Map(
        stocks.map(({ hive, inventory: { models } }) => {
          const isConfigured = byAlias.get(hive)?.record.source === "config"
          return [hive, { models, isConfigured }]
        })
      )
    )
    const present = new Set(stocks.map(({ hive }) => hive))
    const after = new Map((yield* registry.list).map((hive) => [hive.record.alias, hive]))
    const away: Array<HiveSnapshot> = []
    for (const [alias, models] of yield* memory.all) {
      if (present.has(alias)) continue
      const isGone = models.isConfigured && !byAlias.has(alias)
      if (isGone || byAlias.get(alias)?.sameAs !== undefined) yield* memory.forget(alias)
      else away.push(awayStock(alias, models, whyAway(after.get(alias))))
    }
    known = [...stocks, ...away]
    seenAt = startedAt
    seenChanges = changes
  })

  const isOlder = (since: number) => seenAt < since || seenChanges !== registry.changes()

  const pause = Effect.suspend(() => {
    const age = clock.currentTimeMillisUnsafe() - seenAt
    return age < refreshPause ? Effect.sleep(refreshPause - age) : Effect.void
  })

  return FleetView.of({
    // Callers that came before a look began share what it sees.
    snapshot: Effect.fnUntraced(function* (maxAge) {
      const since = clock.currentTimeMillisUnsafe() - maxAge
      if (isOlder(since)) {
        yield* turn.withPermit(Effect.suspend(() => (isOlder(since) ? lookNow : Effect.void)))
      }
      return known
    }),
    refresh: Effect.suspend(() => {
      const since = clock.currentTimeMillisUnsafe()
      const again = Effect.suspend(() => (seenAt <= since ? Effect.andThen(pause, lookNow) : Effect.void))
      return Effect.map(turn.withPermit(again), () => known)
    })
  })
})
