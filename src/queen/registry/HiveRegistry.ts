import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Token } from "../../access/Token.ts"
import { HivesConf } from "../../hives/HivesConf.ts"
import type { Peer } from "../../job/client/JobsClient.ts"
import type { Heartbeat } from "../../operation/Heartbeat.ts"
import { Settings } from "../../settings/Settings.ts"
import { HiveNotFound } from "../forward/errors.ts"
import { HiveDirectory } from "../forward/HiveDirectory.ts"

/** What the queen knows of a hive, as `hive_list` and `hive_get` give it. */
export const HiveRecord = Schema.Struct({
  alias: Schema.String,
  url: Schema.String,
  /**
   * `active`: it was heard of lately; `stale`: it was not, and nobody asked it yet; `unreachable`: it did not answer, and
   * the reason says why; `stopped`: this queen stopped it; `unknown`: nothing was heard of it.
   */
  state: Schema.Literals(["active", "stale", "unreachable", "stopped", "unknown"]),
  reason: Schema.optionalKey(Schema.String),
  source: Schema.Literals(["config", "heartbeat", "default"]),
  last_heartbeat: Schema.optionalKey(Schema.String),
  /** How many workers it has; absent when it does not answer. */
  workers: Schema.optionalKey(Schema.Int),
  /** The alias under which the same daemon is counted; absent when it is counted under this one. */
  same_as: Schema.optionalKey(Schema.String),
  /** What the owner should put right, such as two hives with this id. */
  warning: Schema.optionalKey(Schema.String)
})
export type HiveRecord = typeof HiveRecord.Type

/** A hive with the workers that it last told of. */
export interface KnownHive {
  readonly record: HiveRecord
  readonly peer: Peer
  readonly workers: Heartbeat["workers"]
  /** The alias under which the same daemon is counted; absent when it is counted under this one. */
  readonly sameAs?: string
  /** When the hive was last heard of, in milliseconds; nothing when it never was. */
  readonly heardAt?: number | undefined
}

/** The hives that the queen knows: from `hives.conf`, from heartbeats, and `localhost` always. */
export class HiveRegistry extends Context.Service<
  HiveRegistry,
  {
    readonly list: Effect.Effect<ReadonlyArray<KnownHive>>
    readonly find: (alias: string) => Effect.Effect<KnownHive, HiveNotFound>
    /** Takes a heartbeat that came from the address. */
    readonly beat: (heartbeat: Heartbeat, sender: string) => Effect.Effect<void>
    /** Whether `hives.conf` has the hive. */
    readonly isConfigured: (alias: string) => Effect.Effect<boolean>
    /** The address of a heartbeat cannot be used, for a reason. It is taken back by the hive's next heartbeat. */
    readonly refuse: (alias: string, url: string, reason: string) => Effect.Effect<void>
    /** Shows a warning in the hive's record for as long as a heartbeat counts, and logs it once. */
    readonly warn: (alias: string, warning: string) => Effect.Effect<void>
    /** Something came from the hive, so that it lives. */
    readonly markAlive: (alias: string) => void
    /** The hive does not answer, for a reason. It is taken back as soon as something comes from the hive. */
    readonly markUnreachable: (alias: string, reason: string) => void
    /** Whether the hive was lost or stopped, and nothing came from it since. */
    readonly isLost: (alias: string) => boolean
    /** This queen stopped the hive. It is taken back as soon as something comes from the hive. */
    readonly stopped: (alias: string) => void
    /** Calls back with the reason when the hive is lost or stopped, once, and at once if it is; gives the way to leave. */
    readonly onLost: (alias: string, call: (reason: string) => void) => () => void
    /** A number that changes whenever a hive is lost, stopped, or heard of for the first time since. */
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

/** Why a hive takes no work, whatever its last heartbeat said. */
interface Loss {
  readonly state: "unreachable" | "stopped"
  readonly reason: string
}

interface Beat {
  readonly at: number
  readonly url: string
  readonly instance: string | undefined
  readonly workers: Heartbeat["workers"]
}

const maxHives = 1024
const defaultHivePort = 8081

/** Sets the value of a hive; the hive that was set longest ago goes when there are more than 1,024. */
export const addBounded = <A>(map: Map<string, A>, key: string, value: A) => {
  map.delete(key)
  map.set(key, value)
  const oldest = map.keys().next()
  if (map.size > maxHives && oldest.done !== true) map.delete(oldest.value)
}

/** The base URL of a host, which may be an IPv6 address. */
const urlOf = (host: string, port: number) => `http://${host.includes(":") ? `[${host}]` : host}:${port}`

/** Where a heartbeat says that its hive is: at its URL, else at the sender's address and the default port. */
export const addressOf = (url: string | null | undefined, sender: string) =>
  url ?? urlOf(sender, defaultHivePort)

const make = Effect.gen(function* () {
  const { heartbeat, hive } = yield* Settings
  const hivesConf = yield* HivesConf
  const token = yield* Token
  const clock = yield* Clock.Clock
  const beats = new Map<string, Beat>()
  const lastSeen = new Map<string, number>()
  const failures = new Map<string, Loss>()
  const refusals = new Map<string, { readonly url: string; readonly reason: string }>()
  const warnings = new Map<string, { readonly at: number; readonly text: string }>()
  const watchers = new Map<string, Set<(reason: string) => void>>()
  let changes = 0

  const lose = (alias: string, loss: Loss) => {
    // That a hive does not answer is no news of one that was stopped.
    if (failures.get(alias)?.state === "stopped") return
    if (!failures.has(alias)) changes++
    failures.set(alias, loss)
    const calls = watchers.get(alias) ?? []
    watchers.delete(alias)
    for (const call of calls) call(loss.reason)
  }

  const takeBack = (alias: string) => {
    if (failures.delete(alias)) changes++
  }

  const warningOf = (alias: string) => {
    const warning = warnings.get(alias)
    if (warning === undefined) return undefined
    const age = clock.currentTimeMillisUnsafe() - warning.at
    return age < Duration.toMillis(heartbeat.active) ? warning.text : undefined
  }

  const known = (alias: string, configured: string | undefined): Effect.Effect<KnownHive> =>
    Effect.map(token.forHive(alias), (token) => {
      const beat = beats.get(alias)
      const heardAt = Math.max(
        beat?.at ?? Number.NEGATIVE_INFINITY,
        lastSeen.get(alias) ?? Number.NEGATIVE_INFINITY
      )
      const refusal = configured === undefined ? refusals.get(alias) : undefined
      const warning = warningOf(alias) ?? refusal?.reason
      const loss = failures.get(alias)
      const isActive =
        loss === undefined && clock.currentTimeMillisUnsafe() - heardAt < Duration.toMillis(heartbeat.active)
      const url =
        configured ?? (beat !== undefined && (isActive || alias !== "localhost") ? beat.url : undefined)
      return {
        record: {
          alias,
          url: url ?? urlOf("127.0.0.1", hive.port),
          state: isActive ? "active" : (loss?.state ?? (beat === undefined ? "unknown" : "stale")),
          ...(loss === undefined ? {} : { reason: loss.reason }),
          source: configured !== undefined ? "config" : url !== undefined ? "heartbeat" : "default",
          ...(beat === undefined ? {} : { last_heartbeat: DateTime.formatIso(DateTime.makeUnsafe(beat.at)) }),
          ...(isActive ? { workers: beat?.workers.length ?? 0 } : {}),
          ...(warning === undefined ? {} : { warning })
        },
        peer: { url: url ?? urlOf("127.0.0.1", hive.port), token },
        workers: isActive ? (beat?.workers ?? []) : [],
        ...(Number.isFinite(heardAt) ? { heardAt } : {})
      }
    })

  /** A hive that is known only from heartbeats whose address cannot be used. */
  const refused = (
    alias: string,
    { reason, url }: { readonly url: string; readonly reason: string }
  ): KnownHive => {
    const warning = warningOf(alias)
    return {
      record: {
        alias,
        url,
        state: "unreachable",
        reason,
        source: "heartbeat",
        ...(warning === undefined ? {} : { warning })
      },
      peer: { url },
      workers: []
    }
  }

  // One daemon may be known by several names: aliases of one host, or its own id beside the name in `hives.conf`.
  const withDuplicates = (hives: ReadonlyArray<KnownHive>): ReadonlyArray<KnownHive> => {
    const byInstance = new Map<string, string>()
    const byUrl = new Map<string, string>()
    return hives.map((hive) => {
      const { alias, source, url } = hive.record
      const instance = beats.get(alias)?.instance
      const other = byUrl.get(url) ?? (instance === undefined ? undefined : byInstance.get(instance))
      if (other !== undefined) return { ...hive, sameAs: other, record: { ...hive.record, same_as: other } }
      if (source !== "default" || hive.record.state === "active") byUrl.set(url, alias)
      if (instance !== undefined) byInstance.set(instance, alias)
      return hive
    })
  }

  const addresses = Effect.map(hivesConf.hives, (entries) => {
    const all = new Map<string, string | undefined>([["localhost", undefined]])
    for (const alias of beats.keys()) all.set(alias, undefined)
    for (const entry of entries) {
      for (const alias of entry.aliases) all.set(alias, urlOf(entry.hostName, entry.hivePort))
    }
    return all
  })

  return HiveRegistry.of({
    list: Effect.gen(function* () {
      const all = yield* addresses
      const hives = yield* Effect.forEach(all, ([alias, url]) => known(alias, url))
      const unusable = [...refusals].filter(([alias]) => !all.has(alias))
      return [...withDuplicates(hives), ...unusable.map(([alias, refusal]) => refused(alias, refusal))]
    }),
    find: Effect.fnUntraced(function* (alias) {
      const all = yield* addresses
      if (!all.has(alias)) {
        const reason = refusals.get(alias)?.reason
        return yield* new HiveNotFound({
          hive: alias,
          known: [...all.keys()],
          ...(reason === undefined ? {} : { reason })
        })
      }
      return yield* known(alias, all.get(alias))
    }),
    beat: Effect.fn("HiveRegistry.beat")(function* (heartbeat, sender) {
      const { hive_id: id, instance, url, workers } = heartbeat
      takeBack(id)
      refusals.delete(id)
      if (!beats.has(id)) changes++
      addBounded(beats, id, {
        at: clock.currentTimeMillisUnsafe(),
        url: addressOf(url, sender),
        instance: instance ?? undefined,
        workers
      })
    }),
    isConfigured: (alias) =>
      Effect.map(hivesConf.hives, (entries) => entries.some(({ aliases }) => aliases.includes(alias))),
    refuse: Effect.fn("HiveRegistry.refuse")(function* (alias, url, reason) {
      if (refusals.get(alias)?.reason !== reason) {
        yield* Effect.logWarning("the address of a heartbeat cannot be used", { hive: alias, url, reason })
      }
      addBounded(refusals, alias, { url, reason })
    }),
    warn: Effect.fn("HiveRegistry.warn")(function* (alias, text) {
      if (warningOf(alias) !== text) yield* Effect.logWarning(text, { hive: alias })
      addBounded(warnings, alias, { at: clock.currentTimeMillisUnsafe(), text })
    }),
    markAlive: (alias) => {
      takeBack(alias)
      lastSeen.set(alias, clock.currentTimeMillisUnsafe())
    },
    markUnreachable: (alias, reason) => lose(alias, { state: "unreachable", reason }),
    isLost: (alias) => failures.has(alias),
    stopped: (alias) => lose(alias, { state: "stopped", reason: "stopped by this queen" }),
    onLost: (alias, call) => {
      const loss = failures.get(alias)
      if (loss !== undefined) {
        call(loss.reason)
        return () => {}
      }
      const calls = watchers.get(alias) ?? new Set()
      watchers.set(alias, calls.add(call))
      return () => {
        calls.delete(call)
        if (calls.size === 0 && watchers.get(alias) === calls) watchers.delete(alias)
      }
    },
    changes: () => changes
  })
})
