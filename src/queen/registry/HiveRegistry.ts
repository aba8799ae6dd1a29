import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Token } from "../../access/Token.ts"
import { HivesConf } from "../../hives/HivesConf.ts"
import type { Heartbeat } from "../../operation/Heartbeat.ts"
import { Settings } from "../../settings/Settings.ts"
import { HiveNotFound } from "../forward/errors.ts"
import { HiveDirectory } from "../forward/HiveDirectory.ts"
import { setBounded } from "./boundedMap.ts"
import { HiveFailures } from "./HiveFailures.ts"
import {
  addressesByAlias,
  knownHive,
  type KnownHive,
  markDuplicates,
  type ReceivedHeartbeat,
  type RejectedAddress,
  rejectedHive
} from "./HiveRecord.ts"
import { baseUrl, hiveUrl } from "./hiveUrl.ts"
import { HiveWarnings } from "./HiveWarnings.ts"

/** The hives that the queen knows: from `hives.conf`, from heartbeats, and always `localhost`. */
export class HiveRegistry extends Context.Service<
  HiveRegistry,
  {
    readonly list: Effect.Effect<ReadonlyArray<KnownHive>>
    readonly find: (alias: string) => Effect.Effect<KnownHive, HiveNotFound>
    /** Records a heartbeat that arrived from the address `sender`. */
    readonly recordHeartbeat: (heartbeat: Heartbeat, sender: string) => Effect.Effect<void>
    /** Whether the hive is in `hives.conf`. */
    readonly isConfigured: (alias: string) => Effect.Effect<boolean>
    /** Records that the address of a heartbeat cannot be used, until the hive's next recorded heartbeat. */
    readonly rejectAddress: (alias: string, url: string, reason: string) => Effect.Effect<void>
    /** Shows a warning in the hive's record for the time `heartbeat.active`, and logs it once. */
    readonly warn: (alias: string, warning: string) => Effect.Effect<void>
    /** Records a sign of life of the hive; ends a failure. */
    readonly markAlive: (alias: string) => void
    /** Records that the hive does not answer, until its next sign of life. */
    readonly markUnreachable: (alias: string, reason: string) => void
    /** Whether the hive is unreachable or stopped. */
    readonly isLost: (alias: string) => boolean
    /** Records that this queen stopped the hive, until its next sign of life. */
    readonly markStopped: (alias: string) => void
    /**
     * Calls `call` once with the reason when the hive becomes unreachable or stopped, immediately if it is already. Returns
     * how to unsubscribe.
     */
    readonly onLost: (alias: string, call: (reason: string) => void) => () => void
    /** A number that increases whenever a hive appears, becomes unreachable or stopped, or recovers. */
    readonly changes: () => number
  }
>()("rbee/queen/registry/HiveRegistry") {
  static readonly layerNoDeps = Layer.effect(
    HiveRegistry,
    Effect.suspend(() => make)
  )

  /** The registry as the forwarder's directory. */
  static readonly directory = Layer.effect(
    HiveDirectory,
    Effect.map(HiveRegistry, (registry) =>
      HiveDirectory.of({
        find: (hiveId) => Effect.map(registry.find(hiveId), ({ peer }) => peer),
        markAlive: registry.markAlive,
        markUnreachable: registry.markUnreachable,
        isLost: registry.isLost
      })
    )
  )
}

const notFound = (hive: string, known: ReadonlyArray<string>, reason: string | undefined) =>
  new HiveNotFound({ hive, known, ...(reason === undefined ? {} : { reason }) })

const make = Effect.gen(function* () {
  const { heartbeat, hive } = yield* Settings
  const hivesConf = yield* HivesConf
  const token = yield* Token
  const clock = yield* Clock.Clock
  const activeMillis = Duration.toMillis(heartbeat.active)
  const heartbeats = new Map<string, ReceivedHeartbeat>()
  const lastSeen = new Map<string, number>()
  const rejected = new Map<string, RejectedAddress>()
  const failures = new HiveFailures()
  const warnings = new HiveWarnings(clock, activeMillis)

  const addresses = Effect.map(hivesConf.hives, (entries) => addressesByAlias(heartbeats.keys(), entries))

  const known = (alias: string, configuredUrl: string | undefined) =>
    Effect.map(token.forHive(alias), (token) => {
      const rejection = configuredUrl === undefined ? rejected.get(alias)?.reason : undefined
      const facts = {
        alias,
        configuredUrl,
        defaultUrl: baseUrl("127.0.0.1", hive.port),
        token,
        heartbeat: heartbeats.get(alias),
        lastSeen: lastSeen.get(alias),
        failure: failures.get(alias),
        warning: warnings.current(alias) ?? rejection
      }
      return knownHive(facts, clock.currentTimeMillisUnsafe(), activeMillis)
    })

  return HiveRegistry.of({
    list: Effect.gen(function* () {
      const all = yield* addresses
      const hives = yield* Effect.forEach(all, ([alias, url]) => known(alias, url))
      const unusable = [...rejected].filter(([alias]) => !all.has(alias))
      return [
        ...markDuplicates(hives, (alias) => heartbeats.get(alias)?.instance),
        ...unusable.map(([alias, address]) => rejectedHive(alias, address, warnings.current(alias)))
      ]
    }),
    find: Effect.fnUntraced(function* (alias) {
      const all = yield* addresses
      if (all.has(alias)) return yield* known(alias, all.get(alias))
      return yield* notFound(alias, [...all.keys()], rejected.get(alias)?.reason)
    }),
    recordHeartbeat: Effect.fn("HiveRegistry.recordHeartbeat")(function* (heartbeat, sender) {
      const { hive_id: id, instance, url, workers } = heartbeat
      failures.recover(id)
      rejected.delete(id)
      if (!heartbeats.has(id)) failures.countChange()
      setBounded(heartbeats, id, {
        at: clock.currentTimeMillisUnsafe(),
        url: hiveUrl(url, sender),
        instance: instance ?? undefined,
        workers
      })
    }),
    isConfigured: (alias) =>
      Effect.map(hivesConf.hives, (entries) => entries.some(({ aliases }) => aliases.includes(alias))),
    rejectAddress: Effect.fn("HiveRegistry.rejectAddress")(function* (alias, url, reason) {
      if (rejected.get(alias)?.reason !== reason) {
        yield* Effect.logWarning("the address of a heartbeat cannot be used", { hive: alias, url, reason })
      }
      setBounded(rejected, alias, { url, reason })
    }),
    warn: warnings.warn,
    markAlive: (alias) => {
      failures.recover(alias)
      lastSeen.set(alias, clock.currentTimeMillisUnsafe())
    },
    markUnreachable: (alias, reason) => failures.fail(alias, { state: "unreachable", reason }),
    isLost: (alias) => failures.has(alias),
    markStopped: (alias) => failures.fail(alias, { state: "stopped", reason: "stopped by this queen" }),
    onLost: (alias, call) => failures.onFailure(alias, call),
    changes: () => failures.changes
  })
})
