import * as Effect from "effect/Effect"
import type { DaemonClient } from "../../daemon/DaemonClient.ts"
import { type PeerError, reasonText } from "../../job/client/clientErrors.ts"
import type { KnownHive } from "../registry/HiveRecord.ts"
import type { HiveRegistry } from "../registry/HiveRegistry.ts"
import type { HiveSnapshot } from "./HiveSnapshot.ts"

const requestTimeout = "2 seconds"

/** Requests the inventories of hives, each within two seconds. */
export class InventoryReader {
  readonly #client: DaemonClient["Service"]
  readonly #registry: HiveRegistry["Service"]

  constructor(client: DaemonClient["Service"], registry: HiveRegistry["Service"]) {
    this.#client = client
    this.#registry = registry
  }

  /**
   * The hive's inventory. Without an answer: `previous`, the last one, if the hive is active and may only be slow; else
   * undefined. A hive that refuses the connection is marked unreachable.
   */
  read(hive: KnownHive, previous: HiveSnapshot | undefined): Effect.Effect<HiveSnapshot | undefined> {
    return this.#client.inventory(hive.peer).pipe(
      Effect.timeout(requestTimeout),
      Effect.map((inventory): HiveSnapshot | undefined => ({ hive: hive.record.alias, inventory })),
      Effect.catchTag("TimeoutError", () =>
        Effect.sync(() => this.#withoutAnswer(hive, previous, undefined))
      ),
      Effect.catch((error) => Effect.sync(() => this.#withoutAnswer(hive, previous, error)))
    )
  }

  #withoutAnswer({ record }: KnownHive, previous: HiveSnapshot | undefined, error: PeerError | undefined) {
    const isActive = record.state === "active"
    if (error?._tag === "PeerUnreachable" && error.reason === "refused") {
      if (isActive) this.#registry.markUnreachable(record.alias, reasonText.refused)
      return undefined
    }
    return isActive && previous?.away === undefined ? previous : undefined
  }
}
