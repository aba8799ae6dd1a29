import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { JobsClient } from "../../job/client/JobsClient.ts"
import { Heartbeat } from "../../operation/Heartbeat.ts"
import { Settings } from "../../settings/Settings.ts"
import { HiveRegistry, type KnownHive } from "./HiveRegistry.ts"

const requestTimeout = "2 seconds"
const maxConcurrentRequests = 16
const minToSuspect = 3

class AnotherHive extends Data.TaggedError("AnotherHive")<{ readonly message: string }> {}

/**
 * Asks each hive whose heartbeat is late, as often as it would beat: a hive that cannot reach this queen is found well
 * all the same, and one that is gone or frozen is told from one that is late, within two heartbeats. When most of the
 * hives that were well seem gone at once, the fault is more likely on this side, and none of them is called unreachable.
 */
export const hiveWatch = Layer.effectDiscard(
  Effect.gen(function* () {
    const registry = yield* HiveRegistry
    const client = yield* JobsClient
    const clock = yield* Clock.Clock
    const { heartbeat } = yield* Settings
    const every = Duration.toMillis(heartbeat.every)
    const askedAt = new Map<string, number>()
    let suspectsItself = false

    const silence = ({ heardAt = Number.NEGATIVE_INFINITY }: KnownHive) =>
      clock.currentTimeMillisUnsafe() - heardAt

    const isDue = (hive: KnownHive) => {
      const { alias, source } = hive.record
      if (source === "default" || silence(hive) < every) return false
      return clock.currentTimeMillisUnsafe() - (askedAt.get(alias) ?? Number.NEGATIVE_INFINITY) >= every / 2
    }

    // An address from a heartbeat is the hive's only while the daemon there has its id.
    const take = (hive: KnownHive, beat: Heartbeat) => {
      const { alias, source } = hive.record
      return source === "heartbeat" && beat.hive_id !== alias
        ? Effect.fail(
            new AnotherHive({ message: `the daemon at ${hive.peer.url} is hive '${beat.hive_id}'` })
          )
        : registry.beat({ ...beat, hive_id: alias, url: hive.peer.url }, "")
    }

    const lookAt = (hive: KnownHive) =>
      client.get(hive.peer, "/v1/heartbeat", Heartbeat).pipe(
        Effect.flatMap((beat) => take(hive, beat)),
        // A configured hive of the original rbee has no such path.
        Effect.catchTag("PeerRefused", (refusal) =>
          refusal.status === 404 && hive.record.source === "config"
            ? Effect.map(client.health(hive.peer), () => registry.markAlive(hive.record.alias))
            : Effect.fail(refusal)
        )
      )

    const ask = (hive: KnownHive) =>
      lookAt(hive).pipe(
        Effect.timeout(requestTimeout),
        Effect.matchEffect({
          onSuccess: () => Effect.undefined,
          onFailure: (error) =>
            Effect.succeed({
              alias: hive.record.alias,
              reason: error._tag === "TimeoutError" ? `no answer within ${requestTimeout}` : error.message,
              wasSeen: hive.record.last_heartbeat !== undefined,
              // It beat a moment ago and may just be busy.
              mayBeBusy: error._tag === "TimeoutError" && silence(hive) < every * 1.5
            })
        })
      )

    const askAll = (hives: ReadonlyArray<KnownHive>) =>
      Effect.map(Effect.forEach(hives, ask, { concurrency: maxConcurrentRequests }), (answers) =>
        answers.filter((answer) => answer !== undefined)
      )

    const round = Effect.gen(function* () {
      const hives = yield* registry.list
      for (const alias of askedAt.keys()) {
        if (!hives.some(({ record }) => record.alias === alias)) askedAt.delete(alias)
      }
      const due = hives.filter(isDue)
      for (const { record } of due) askedAt.set(record.alias, clock.currentTimeMillisUnsafe())
      const silent = yield* askAll(due)
      // Whether one is gone or the network here, the others tell.
      const seen = hives.filter(({ record }) => record.last_heartbeat !== undefined)
      const isNew = silent.some(({ alias, wasSeen }) => wasSeen && !registry.isLost(alias))
      const others = isNew ? seen.filter((hive) => !due.includes(hive)) : []
      const gone = [...silent, ...(yield* askAll(others))]
      const lost = gone.filter(({ wasSeen }) => wasSeen)
      const suspicious = lost.length >= minToSuspect && lost.length * 2 > seen.length
      if (suspicious && !suspectsItself) {
        yield* Effect.logWarning("most hives seem gone at once; is this machine's network up?", {
          hives: lost.map(({ alias }) => alias)
        })
      }
      if (suspicious || due.length + others.length > gone.length) suspectsItself = suspicious
      for (const { alias, mayBeBusy, reason, wasSeen } of gone) {
        if (!mayBeBusy && (!suspicious || !wasSeen)) registry.markUnreachable(alias, reason)
      }
    })

    yield* round.pipe(Effect.delay(every / 4), Effect.forever, Effect.forkScoped)
  })
)
