import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { PeerRefused } from "../job/client/clientErrors.ts"
import type { Peer } from "../job/client/Peer.ts"
import type { DaemonClient } from "./DaemonClient.ts"

const timeout = "1 second"

/** The statuses with which a daemon rejects the credentials of this process. */
const rejections: ReadonlySet<number> = new Set([401, 403])

/**
 * The name of the daemon at an address; none if no daemon responds within a second. Fails if the daemon rejects the token
 * of this process, or requires one.
 */
export const probeDaemon = (
  client: DaemonClient["Service"],
  peer: Peer
): Effect.Effect<Option.Option<string>, PeerRefused> =>
  client.buildInfo(peer).pipe(
    Effect.map(({ name }) => name),
    // Daemons of older versions have no build info.
    Effect.catchTag("PeerRefused", (refusal) =>
      refusal.status === 404 ? Effect.as(client.health(peer), "daemon") : Effect.fail(refusal)
    ),
    Effect.timeout(timeout),
    Effect.asSome,
    Effect.catch((error) =>
      error._tag === "PeerRefused" && rejections.has(error.status) ? Effect.fail(error) : Effect.succeedNone
    )
  )
