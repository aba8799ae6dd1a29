import { publicModels, type ServedModel } from "../../gateway/upstream/Upstream.ts"
import type { AliasSetting } from "../../settings/AliasSettings.ts"
import type { HiveSnapshot } from "../scheduler/HiveSnapshot.ts"

/** The models of a fleet that applications can use, derived again only when a hive's inventory was requested again. */
export class PublicModels {
  readonly #aliases: Readonly<Record<string, AliasSetting>>
  #snapshots: ReadonlyArray<HiveSnapshot> = []
  #models: ReadonlyArray<ServedModel> = []

  constructor(aliases: Readonly<Record<string, AliasSetting>>) {
    this.#aliases = aliases
  }

  /** `snapshots`: as `FleetView` returns them, the same array as long as they have not changed. */
  of(snapshots: ReadonlyArray<HiveSnapshot>) {
    if (this.#snapshots !== snapshots) {
      const stored = snapshots.map(({ hive, inventory }) => ({ hive, ...inventory }))
      this.#snapshots = snapshots
      this.#models = publicModels(stored, this.#aliases)
    }
    return this.#models
  }
}
