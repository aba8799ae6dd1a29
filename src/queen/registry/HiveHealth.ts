import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DaemonClient } from "../../daemon/DaemonClient.ts"
import { Settings } from "../../settings/Settings.ts"
import { HiveProbe } from "./HiveProbe.ts"
import { HiveRegistry } from "./HiveRegistry.ts"
import { isOwnNetworkSuspect, ProbeSchedule } from "./ProbeSchedule.ts"

/**
 * Probes each hive whose heartbeat is late, at most twice per heartbeat interval. A hive that cannot reach this queen stays
 * active that way; one that crashed or hangs becomes unreachable within two intervals. When more than half of the hives
 * fail at once, this machine's network is suspected and none of them is marked unreachable.
 */
export const hiveHealth = Layer.effectDiscard(
  Effect.gen(function* () {
    const registry = yield* HiveRegistry
    const clock = yield* Clock.Clock
    const { heartbeat } = yield* Settings
    const interval = Duration.toMillis(heartbeat.every)
    const probe = new HiveProbe(yield* DaemonClient, registry, clock, interval)
    const schedule = new ProbeSchedule(interval)
    let suspectsNetwork = false

    const round = Effect.gen(function* () {
      const hives = yield* registry.list
      const due = schedule.take(hives, clock.currentTimeMillisUnsafe())
      const silent = yield* probe.silent(due)
      // The other hives show whether one hive or this machine's network has failed.
      const seen = hives.filter(({ record }) => record.last_heartbeat !== undefined)
      const isNew = silent.some(({ alias, hadHeartbeat }) => hadHeartbeat && !registry.isLost(alias))
      const others = isNew ? seen.filter((hive) => !due.includes(hive)) : []
      const failed = [...silent, ...(yield* probe.silent(others))]
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
