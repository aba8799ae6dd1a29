import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { JobsClient } from "../../job/client/JobsClient.ts"
import { Settings } from "../../settings/Settings.ts"
import type { KnownHive } from "./HiveRecord.ts"
import { HiveRegistry } from "./HiveRegistry.ts"
import { checkHealth, identify, readHeartbeat } from "./identify.ts"
import { isOwnNetworkSuspect, ProbeSchedule } from "./ProbeSchedule.ts"

const requestTimeout = "2 seconds"
const maxConcurrentRequests = 16

/** A probe without an answer. */
interface FailedProbe {
  readonly alias: string
  readonly reason: string
  readonly hadHeartbeat: boolean
  /** The hive sent a heartbeat a moment ago and may only be busy. */
  readonly mayBeBusy: boolean
}

/** Probes hives by `GET /v1/heartbeat` and records the result of each that answers. */
const makeProbe = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const client = yield* JobsClient
  const clock = yield* Clock.Clock
  const { heartbeat } = yield* Settings
  const interval = Duration.toMillis(heartbeat.every)

  const check = (hive: KnownHive) => {
    const { peer, record } = hive
    // `hives.conf` decides what a configured hive is called; any other address must confirm its hive id.
    const current =
      record.source === "heartbeat"
        ? identify(client, record.alias, peer, requestTimeout)
        : readHeartbeat(client, peer, requestTimeout)
    return current.pipe(
      Effect.flatMap((beat) =>
        registry.recordHeartbeat({ ...beat, hive_id: record.alias, url: peer.url }, "")
      ),
      // A configured hive of the original rbee has no heartbeat endpoint.
      Effect.catchTag("NotIdentified", (error) =>
        error.problem === "unsupported" && record.source === "config"
          ? Effect.map(checkHealth(client, peer, requestTimeout), () => registry.markAlive(record.alias))
          : Effect.fail(error)
      )
    )
  }

  const failed = (hive: KnownHive, reason: string, isTimeout: boolean): FailedProbe => {
    const silence = clock.currentTimeMillisUnsafe() - (hive.lastSeen ?? Number.NEGATIVE_INFINITY)
    return {
      alias: hive.record.alias,
      reason,
      hadHeartbeat: hive.record.last_heartbeat !== undefined,
      mayBeBusy: isTimeout && silence < interval * 1.5
    }
  }

  const probe = (hive: KnownHive) =>
    check(hive).pipe(
      Effect.as(undefined),
      Effect.catch(({ message, problem }) => Effect.succeed(failed(hive, message, problem === "timeout")))
    )

  /** Probes all of the hives; gives those without an answer. */
  return (hives: ReadonlyArray<KnownHive>) =>
    Effect.map(Effect.forEach(hives, probe, { concurrency: maxConcurrentRequests }), (results) =>
      results.filter((result) => result !== undefined)
    )
})

/**
 * Probes each hive whose heartbeat is late, at most twice per heartbeat interval. A hive that cannot reach this queen stays
 * active that way; one that crashed or hangs becomes unreachable within two intervals. When more than half of the hives
 * fail at once, this machine's network is suspected and none of them is marked unreachable.
 */
export const hiveHealth = Layer.effectDiscard(
  Effect.gen(function* () {
    const registry = yield* HiveRegistry
    const probeAll = yield* makeProbe
    const clock = yield* Clock.Clock
    const { heartbeat } = yield* Settings
    const interval = Duration.toMillis(heartbeat.every)
    const schedule = new ProbeSchedule(interval)
    let suspectsNetwork = false

    const round = Effect.gen(function* () {
      const hives = yield* registry.list
      const due = schedule.take(hives, clock.currentTimeMillisUnsafe())
      const silent = yield* probeAll(due)
      // The other hives show whether one hive or this machine's network has failed.
      const seen = hives.filter(({ record }) => record.last_heartbeat !== undefined)
      const isNew = silent.some(({ alias, hadHeartbeat }) => hadHeartbeat && !registry.isLost(alias))
      const others = isNew ? seen.filter((hive) => !due.includes(hive)) : []
      const failed = [...silent, ...(yield* probeAll(others))]
      const lost = failed.filter(({ hadHeartbeat }) => hadHeartbeat)
      const isSuspect = isOwnNetworkSuspect(lost.length, seen.length)
      if (isSuspect && !suspectsNetwork) {
        yield* Effect.logWarning("most hives became unreachable at once; check this machine's network", {
          hives: lost.map(({ alias }) => alias)
        })
      }
      if (isSuspect || due.length + others.length > failed.length) suspectsNetwork = isSuspect
      for (const { alias, hadHeartbeat, mayBeBusy, reason } of failed) {
        if (!mayBeBusy && (!isSuspect || !hadHeartbeat)) registry.markUnreachable(alias, reason)
      }
    })

    yield* round.pipe(Effect.delay(interval / 4), Effect.forever, Effect.forkScoped)
  })
)
