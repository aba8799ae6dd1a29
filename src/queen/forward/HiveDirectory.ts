import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Peer } from "../../job/client/Peer.ts"
import { HiveNotFound } from "./errors.ts"

/** The addresses of the hives, and whether they answer. */
export class HiveDirectory extends Context.Service<
  HiveDirectory,
  {
    readonly find: (hiveId: string) => Effect.Effect<Peer, HiveNotFound>
    /** Records that the hive sent bytes. The forwarder calls it for each read, so it must be cheap. */
    readonly markAlive: (hiveId: string) => void
    /** Records that no connection to the hive can be made, and why. */
    readonly markUnreachable: (hiveId: string, reason: string) => void
    /** Whether the hive is known not to answer; the forwarder does not wait for such a hive. */
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
