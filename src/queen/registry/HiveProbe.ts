import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { DaemonClient } from "../../daemon/DaemonClient.ts"
import type { KnownHive } from "./HiveRecord.ts"
import type { HiveRegistry } from "./HiveRegistry.ts"
import { checkHealth, identify, type NotIdentified, readHeartbeat } from "./identify.ts"

const requestTimeout = "2 seconds"
const maxConcurrentRequests = 16

/** A hive that did not answer a probe. */
export interface SilentHive {
  readonly alias: string
  readonly reason: string
  readonly hadHeartbeat: boolean
  /** The hive sent a heartbeat a moment ago and may only be busy. */
  readonly mayBeBusy: boolean
}

/** Probes hives by `GET /v1/heartbeat`, and records a sign of life of each that answers. */
export class HiveProbe {
  readonly #client: DaemonClient["Service"]
  readonly #registry: HiveRegistry["Service"]
  readonly #clock: Clock.Clock
  readonly #interval: number

  /** `interval`: the time between two heartbeats, in milliseconds. */
  constructor(
    client: DaemonClient["Service"],
    registry: HiveRegistry["Service"],
    clock: Clock.Clock,
    interval: number
  ) {
    this.#client = client
    this.#registry = registry
    this.#clock = clock
    this.#interval = interval
  }

  /** Probes the hives, each within two seconds; gives those that did not answer. */
  silent(hives: ReadonlyArray<KnownHive>): Effect.Effect<ReadonlyArray<SilentHive>> {
    return Effect.map(
      Effect.forEach(hives, (hive) => this.#probe(hive), { concurrency: maxConcurrentRequests }),
      (results) => results.filter((result) => result !== undefined)
    )
  }

  #probe(hive: KnownHive) {
    return Effect.match(this.#check(hive), {
      onFailure: (error) => this.#silentHive(hive, error),
      onSuccess: () => undefined
    })
  }

  #check({ peer, record: { alias, source } }: KnownHive) {
    // `hives.conf` decides what a configured hive is called; any other address must confirm its hive id.
    const current =
      source === "heartbeat"
        ? identify(this.#client, alias, peer, requestTimeout)
        : readHeartbeat(this.#client, peer, requestTimeout)
    return current.pipe(
      Effect.flatMap((heartbeat) =>
        this.#registry.recordHeartbeat({ ...heartbeat, hive_id: alias, url: peer.url }, "")
      ),
      // A configured hive of the original rbee has no heartbeat endpoint.
      Effect.catchTag("NotIdentified", (error) =>
        error.problem === "unsupported" && source === "config"
          ? Effect.map(checkHealth(this.#client, peer, requestTimeout), () => this.#registry.markAlive(alias))
          : Effect.fail(error)
      )
    )
  }

  #silentHive({ lastSeen, record }: KnownHive, { message, problem }: NotIdentified): SilentHive {
    const silence = this.#clock.currentTimeMillisUnsafe() - (lastSeen ?? Number.NEGATIVE_INFINITY)
    return {
      alias: record.alias,
      reason: message,
      hadHeartbeat: record.last_heartbeat !== undefined,
      mayBeBusy: problem === "timeout" && silence < this.#interval * 1.5
    }
  }
}
