import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Peer } from "../../job/client/Peer.ts"
import { HiveNotFound } from "./errors.ts"

/** Where the hives are: what the forwarder needs to know of them. */
export class HiveDirectory extends Context.Service<
  HiveDirectory,
  {
    readonly find: (hiveId: string) => Effect.Effect<Peer, HiveNotFound>
    /** Bytes came from the hive: it lives. Called for each read, so it must cost nothing. */
    readonly markAlive: (hiveId: string) => void
    /** No connection to the hive came about, for a reason. */
    readonly markUnreachable: (hiveId: string, reason: string) => void
    /** Whether the hive is known not to answer, so that nobody should wait for it. */
    readonly isLost: (hiveId: string) => boolean
  }
>()("rbee/queen/forward/HiveDirectory") {
  /** A fixed directory, for applications that know their hives, and for tests. */
  static readonly layerMemory = (hives: Readonly<Record<string, string | Peer>>) =>
    Layer.succeed(
      HiveDirectory,
      HiveDirectory.of({
        markAlive: () => {},
        markUnreachable: () => {},
        isLost: () => false,
        find: (hiveId) => {
          const peer = Object.hasOwn(hives, hiveId) ? hives[hiveId] : undefined
          if (peer === undefined)
            return Effect.fail(new HiveNotFound({ hive: hiveId, known: Object.keys(hives) }))
          return Effect.succeed(typeof peer === "string" ? { url: peer } : peer)
        }
      })
    )
}
