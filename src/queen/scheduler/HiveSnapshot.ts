import type { HiveInventory } from "../../operation/Inventory.ts"

/** The last inventory of a hive. */
export interface HiveSnapshot {
  readonly hive: string
  readonly inventory: HiveInventory
  /** Why the hive is away: nothing can run on it, and only its models are known. */
  readonly away?: string
}
