import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Settings } from "../config/Settings.ts"
import { JobsClient } from "../job/JobsClient.ts"
import { Heartbeat, HiveRegistry, type KnownHive } from "./HiveRegistry.ts"

const askWithin = "2 seconds"
const askedAtOnce = 16
const fewestToSuspect = 3

/**
 * Asks the hives that do not beat, as often as they would: one that cannot reach this queen is found well all the same,
 * and one that is gone is told from one that is late. When most of the hives that were well seem gone at once, the
 * fault is more likely on this side, and none of them is called unreachable.
 */
export const hiveWatch = Layer.effectDiscard(
  Effect.gen(function* () {
    const registry = yield* HiveRegistry
    const client = yield* JobsClient
    const { heartbeat } = yield* Settings
    let suspectsItself = false

    const ask = (hive: KnownHive) =>
      client.get(hive.peer, "/v1/heartbeat", Heartbeat).pipe(
        Effect.timeout(askWithin),
        Effect.matchEffect({
          onSuccess: (beat) =>
            Effect.as(
              registry.beat({ ...beat, hive_id: hive.record.alias, url: hive.peer.url }, ""),
              undefined
            ),
          onFailure: (error) =>
            Effect.succeed({
              alias: hive.record.alias,
              reason: error._tag === "TimeoutError" ? `no answer within ${askWithin}` : error.message,
              wasSeen: hive.record.last_heartbeat !== undefined
            })
        })
      )

    const round = Effect.gen(function* () {
      const hives = yield* registry.list
      const silent = hives.filter(({ record }) => record.state !== "active" && record.source !== "default")
      const answers = yield* Effect.forEach(silent, ask, { concurrency: askedAtOnce })
      const gone = answers.filter((answer) => answer !== undefined)
      const lost = gone.filter(({ wasSeen }) => wasSeen)
      const seen = hives.filter(({ record }) => record.last_heartbeat !== undefined)
      const suspicious = lost.length >= fewestToSuspect && lost.length * 2 > seen.length
      if (suspicious && !suspectsItself) {
        yield* Effect.logWarning("most hives seem gone at once; is this machine's network up?", {
          hives: lost.map(({ alias }) => alias)
        })
      }
      suspectsItself = suspicious
      for (const { alias, reason, wasSeen } of gone) {
        if (!suspicious || !wasSeen) yield* registry.lost(alias, reason)
      }
    })

    yield* round.pipe(Effect.delay(heartbeat.every), Effect.forever, Effect.forkScoped)
  })
)
