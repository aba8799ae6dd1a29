import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import { JobsClient } from "../../job/JobsClient.ts"
import { HiveInventory } from "../../operation/Inventory.ts"
import { HiveRegistry, type KnownHive } from "../HiveRegistry.ts"

/** A hive with what it told last. */
export interface HiveStock {
  readonly hive: string
  readonly inventory: HiveInventory
}

/** What the hives have, as they told last. */
export class FleetView extends Context.Service<
  FleetView,
  {
    /** What is known, asked anew if it is older than `maxAge` milliseconds. Takes two seconds at most. */
    readonly look: (maxAge: number) => Effect.Effect<ReadonlyArray<HiveStock>>
    /** What the hives have now: they are asked after this call, at most four times a second for all callers. */
    readonly refresh: Effect.Effect<ReadonlyArray<HiveStock>>
  }
>()("rbee/queen/scheduler/FleetView") {
  static readonly layerNoDeps = Layer.effect(
    FleetView,
    Effect.gen(function* () {
      const registry = yield* HiveRegistry
      const client = yield* JobsClient
      const clock = yield* Clock.Clock
      // Whoever comes while somebody looks waits for what he sees.
      const turn = yield* Semaphore.make(1)
      let known: ReadonlyArray<HiveStock> = []
      let seenAt = Number.NEGATIVE_INFINITY

      // A hive that is well and late with its answer has what it had. Where nobody listens there is nothing to run on, but
      // what models there were is known: it may be only that its daemon starts again.
      const ask = ({ peer, record }: KnownHive) =>
        client.get(peer, "/v1/inventory", HiveInventory).pipe(
          Effect.timeout(askWithin),
          Effect.map((inventory) => ({ hive: record.alias, inventory })),
          Effect.catch((error) => {
            const had = known.find(({ hive }) => hive === record.alias)
            if (record.state !== "active" || had === undefined) return Effect.undefined
            const isGone = error._tag === "PeerUnreachable" && error.reason === "refused"
            const { models } = had.inventory
            return Effect.succeed(
              isGone ? { hive: had.hive, inventory: { devices: [], models, workers: [] } } : had
            )
          })
        )

      const lookNow = Effect.gen(function* () {
        const startedAt = clock.currentTimeMillisUnsafe()
        const hives = yield* registry.list
        const reachable = hives.filter(
          ({ record }) => record.state === "active" || record.state === "unknown"
        )
        const stocks = yield* Effect.forEach(reachable, ask, { concurrency: askedAtOnce })
        known = stocks.filter((stock) => stock !== undefined)
        seenAt = startedAt
      })

      const pause = Effect.suspend(() => {
        const age = clock.currentTimeMillisUnsafe() - seenAt
        return age < refreshPause ? Effect.sleep(refreshPause - age) : Effect.void
      })
      return FleetView.of({
        // Callers that came before a look began share what it sees.
        look: Effect.fnUntraced(function* (maxAge) {
          const since = clock.currentTimeMillisUnsafe() - maxAge
          if (seenAt < since) {
            yield* turn.withPermit(Effect.suspend(() => (seenAt < since ? lookNow : Effect.void)))
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
  )
}

const askWithin = "2 seconds"
const askedAtOnce = 16
const refreshPause = 250
