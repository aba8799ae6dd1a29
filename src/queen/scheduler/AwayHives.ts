import * as Effect from "effect/Effect"
import type { KnownHive } from "../registry/HiveRecord.ts"
import type { HiveRegistry } from "../registry/HiveRegistry.ts"
import type { HiveModels, KnownModels } from "../registry/KnownModels.ts"
import type { HiveSnapshot } from "./HiveSnapshot.ts"

const awaySnapshot = (hive: string, { models }: Pick<HiveModels, "models">, away: string): HiveSnapshot => ({
  hive,
  inventory: { devices: [], models, workers: [] },
  away
})

/** Why a hive without an inventory is away. */
const awayReason = (hive: KnownHive | undefined) =>
  hive?.record.reason ??
  (hive?.record.state === "stale" ? "its heartbeat is late" : "no heartbeat has arrived yet")

/** Remembers the models of hives that answer, and lists those of hives that are away. */
export class AwayHives {
  readonly #registry: HiveRegistry["Service"]
  readonly #knownModels: KnownModels["Service"]

  constructor(registry: HiveRegistry["Service"], knownModels: KnownModels["Service"]) {
    this.#registry = registry
    this.#knownModels = knownModels
  }

  /**
   * The snapshots of the hives that are missing among `answers`, with the models that they had. `hives`: all hives when the
   * answers were requested. The models of a hive that was removed from `hives.conf`, or is another hive, are forgotten.
   */
  readonly list = Effect.fnUntraced(
    { self: this },
    function* (hives: ReadonlyArray<KnownHive>, answers: ReadonlyArray<HiveSnapshot>) {
      const byAlias = new Map(hives.map((hive) => [hive.record.alias, hive]))
      yield* this.#remember(byAlias, answers)
      const present = new Set(answers.map(({ hive }) => hive))
      // The requests may have changed the state of hives.
      const current = new Map((yield* this.#registry.list).map((hive) => [hive.record.alias, hive]))
      const away: Array<HiveSnapshot> = []
      for (const [alias, models] of yield* this.#knownModels.all) {
        if (present.has(alias)) continue
        const isRemoved = models.isConfigured && !byAlias.has(alias)
        if (isRemoved || byAlias.get(alias)?.sameAs !== undefined) yield* this.#knownModels.forget(alias)
        else away.push(awaySnapshot(alias, models, awayReason(current.get(alias))))
      }
      return away
    }
  )

  #remember(byAlias: ReadonlyMap<string, KnownHive>, answers: ReadonlyArray<HiveSnapshot>) {
    return this.#knownModels.record(
      new Map(
        answers.map(({ hive, inventory: { models } }) => {
          const isConfigured = byAlias.get(hive)?.record.source === "config"
          return [hive, { models, isConfigured }]
        })
      )
    )
  }
}
