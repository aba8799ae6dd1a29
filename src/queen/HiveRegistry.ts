import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { HivesConf } from "../config/HivesConf.ts"
import { Settings } from "../config/Settings.ts"
import { Token } from "../config/Token.ts"
import type { Peer } from "../job/JobsClient.ts"
import { HiveId, WorkerId } from "../operation/fields.ts"
import { HiveNotFound } from "./errors.ts"
import { HiveDirectory } from "./HiveDirectory.ts"

/** A worker as its hive's heartbeat tells of it. */
export const WorkerBeat = Schema.Struct({
  worker_id: WorkerId,
  state: Schema.String,
  health_status: Schema.optionalKey(Schema.String),
  url: Schema.optionalKey(Schema.String),
  model_id: Schema.optionalKey(Schema.String)
})

const maxWorkers = 1024

const HttpUrl = Schema.String.check(Schema.isPattern(/^https?:\/\/[A-Za-z0-9.:[\]_-]{1,255}\/?$/))

/** What a hive tells the queen every few seconds. */
export const Heartbeat = Schema.Struct({
  hive_id: HiveId,
  url: Schema.optionalKey(Schema.NullOr(HttpUrl)),
  workers: Schema.Array(WorkerBeat).check(Schema.isMaxLength(maxWorkers))
})
export type Heartbeat = typeof Heartbeat.Type

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
  workers: Schema.Int
})
export type HiveRecord = typeof HiveRecord.Type

/** A hive with the workers that it last told of. */
export interface KnownHive {
  readonly record: HiveRecord
  readonly peer: Peer
  readonly workers: ReadonlyArray<typeof WorkerBeat.Type>
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
    /** Something came from the hive, so that it lives. */
    readonly heard: (alias: string) => void
    /** The hive does not answer, for a reason. It is taken back as soon as something comes from the hive. */
    readonly lost: (alias: string, reason: string) => void
    /** Whether the hive was lost or stopped, and nothing came from it since. */
    readonly isLost: (alias: string) => boolean
    /** This queen stopped the hive. It is taken back as soon as something comes from the hive. */
    readonly stopped: (alias: string) => void
    /** Calls back with the reason when the hive is lost or stopped, once, and at once if it is; gives the way to leave. */
    readonly onLost: (alias: string, call: (reason: string) => void) => () => void
    /** A number that changes whenever a hive is lost, stopped, or heard of for the first time since. */
    readonly changes: () => number
  }
>()("rbee/queen/HiveRegistry") {
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
        heard: registry.heard,
        lost: registry.lost,
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
  readonly workers: Heartbeat["workers"]
}

const maxUnconfiguredHives = 1024
const defaultHivePort = 8081

const urlOf = (host: string, port: number) => `http://${host.includes(":") ? `[${host}]` : host}:${port}`

const make = Effect.gen(function* () {
  const { heartbeat, hive } = yield* Settings
  const hivesConf = yield* HivesConf
  const token = yield* Token
  const clock = yield* Clock.Clock
  const beats = new Map<string, Beat>()
  const signs = new Map<string, number>()
  const losses = new Map<string, Loss>()
  const watchers = new Map<string, Set<(reason: string) => void>>()
  let changes = 0

  const lose = (alias: string, loss: Loss) => {
    // That a hive does not answer is no news of one that was stopped.
    if (losses.get(alias)?.state === "stopped") return
    if (!losses.has(alias)) changes++
    losses.set(alias, loss)
    const calls = watchers.get(alias) ?? []
    watchers.delete(alias)
    for (const call of calls) call(loss.reason)
  }

  const takeBack = (alias: string) => {
    if (losses.delete(alias)) changes++
  }

  const known = (alias: string, configured: string | undefined): Effect.Effect<KnownHive> =>
    Effect.map(token.of(alias), (token) => {
      const beat = beats.get(alias)
      const heardAt = Math.max(
        beat?.at ?? Number.NEGATIVE_INFINITY,
        signs.get(alias) ?? Number.NEGATIVE_INFINITY
      )
      const loss = losses.get(alias)
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
          workers: isActive ? (beat?.workers.length ?? 0) : 0
        },
        peer: { url: url ?? urlOf("127.0.0.1", hive.port), token },
        workers: isActive ? (beat?.workers ?? []) : [],
        ...(Number.isFinite(heardAt) ? { heardAt } : {})
      }
    })

  const addresses = Effect.map(hivesConf.hives, (entries) => {
    const all = new Map<string, string | undefined>([["localhost", undefined]])
    for (const alias of beats.keys()) all.set(alias, undefined)
    for (const entry of entries) {
      for (const alias of entry.aliases) all.set(alias, urlOf(entry.hostName, entry.hivePort))
    }
    return all
  })

  return HiveRegistry.of({
    list: Effect.flatMap(addresses, (all) => Effect.forEach(all, ([alias, url]) => known(alias, url))),
    find: Effect.fnUntraced(function* (alias) {
      const all = yield* addresses
      if (!all.has(alias)) return yield* new HiveNotFound({ hive: alias, known: [...all.keys()] })
      return yield* known(alias, all.get(alias))
    }),
    beat: Effect.fn("HiveRegistry.beat")(function* (heartbeat, sender) {
      const { hive_id: id, url, workers } = heartbeat
      takeBack(id)
      if (!beats.has(id)) changes++
      beats.delete(id)
      beats.set(id, {
        at: clock.currentTimeMillisUnsafe(),
        url: url ?? urlOf(sender, defaultHivePort),
        workers
      })
      const oldest = beats.keys().next()
      if (beats.size > maxUnconfiguredHives && oldest.done !== true) beats.delete(oldest.value)
    }),
    heard: (alias) => {
      takeBack(alias)
      signs.set(alias, clock.currentTimeMillisUnsafe())
    },
    lost: (alias, reason) => lose(alias, { state: "unreachable", reason }),
    isLost: (alias) => losses.has(alias),
    stopped: (alias) => lose(alias, { state: "stopped", reason: "stopped by this queen" }),
    onLost: (alias, call) => {
      const loss = losses.get(alias)
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
