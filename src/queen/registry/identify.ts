import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { DaemonClient } from "../../daemon/DaemonClient.ts"
import type { PeerError } from "../../job/client/clientErrors.ts"
import type { Peer } from "../../job/client/Peer.ts"
import type { Heartbeat } from "../../operation/Heartbeat.ts"

/** The daemon at an address did not identify itself as the expected hive. `unsupported`: it has no heartbeat endpoint. */
export class NotIdentified extends Data.TaggedError("NotIdentified")<{
  readonly problem: "noAnswer" | "otherHive" | "timeout" | "unsupported"
  readonly message: string
}> {}

const notIdentified = (url: string, error: PeerError) => {
  if (error._tag !== "PeerRefused") return new NotIdentified({ problem: "noAnswer", message: error.message })
  const { detail, status } = error
  return status === 404
    ? new NotIdentified({
        problem: "unsupported",
        message: `The daemon at ${url} does not report its hive id`
      })
    : new NotIdentified({
        problem: "noAnswer",
        message: `The daemon at ${url} answered with status ${status}: ${detail}`
      })
}

const bounded = <A>(request: Effect.Effect<A, PeerError>, url: string, timeout: Duration.Input) =>
  request.pipe(
    Effect.mapError((error) => notIdentified(url, error)),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.fail(
          new NotIdentified({
            problem: "timeout",
            message: `No answer from ${url} within ${Duration.toSeconds(timeout)} s`
          })
        )
    })
  )

/** Reads the current heartbeat of the daemon at an address (`GET /v1/heartbeat`), which names its hive id. */
export const readHeartbeat = (
  client: DaemonClient["Service"],
  peer: Peer,
  timeout: Duration.Input
): Effect.Effect<Heartbeat, NotIdentified> => bounded(client.heartbeat(peer), peer.url, timeout)

/** Succeeds when the daemon at an address is alive (`GET /health`), for one without a heartbeat endpoint. */
export const checkHealth = (
  client: DaemonClient["Service"],
  peer: Peer,
  timeout: Duration.Input
): Effect.Effect<void, NotIdentified> => bounded(client.health(peer), peer.url, timeout)

/** Reads the heartbeat of the daemon at an address; fails unless it has the hive id. */
export const identify = (
  client: DaemonClient["Service"],
  hiveId: string,
  peer: Peer,
  timeout: Duration.Input
): Effect.Effect<Heartbeat, NotIdentified> =>
  Effect.filterOrFail(
    readHeartbeat(client, peer, timeout),
    ({ hive_id }) => hive_id === hiveId,
    ({ hive_id }) =>
      new NotIdentified({
        problem: "otherHive",
        message: `The daemon at ${peer.url} is hive '${hive_id}', not '${hiveId}'`
      })
  )
