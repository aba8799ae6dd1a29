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
   * `active`: it was heard of lately; `stale`: it was not, and nobody asked it yet; `unreachable`: it was asked, and the
   * reason says what came of it; `unknown`: nothing was heard of it.
   */
  state: Schema.Literals(["active", "stale", "unreachable", "unknown"]),
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
    /** The hive was asked and did not answer. It is forgotten as soon as something comes from it. */
    readonly lost: (alias: string, reason: string) => Effect.Effect<void>
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
        heard: registry.heard
      })
    )
  )
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
  const losses = new Map<string, string>()

  const known = (alias: string, configured: string | undefined): Effect.Effect<KnownHive> =>
    Effect.map(token.of(alias), (token) => {
      const beat = beats.get(alias)
      const heardAt = Math.max(
        beat?.at ?? Number.NEGATIVE_INFINITY,
        signs.get(alias) ?? Number.NEGATIVE_INFINITY
      )
      const isActive = clock.currentTimeMillisUnsafe() - heardAt < Duration.toMillis(heartbeat.active)
      const reason = isActive ? undefined : losses.get(alias)
      const url =
        configured ?? (beat !== undefined && (isActive || alias !== "localhost") ? beat.url : undefined)
      return {
        record: {
          alias,
          url: url ?? urlOf("127.0.0.1", hive.port),
          state: isActive
            ? "active"
            : reason !== undefined
              ? "unreachable"
              : beat === undefined
                ? "unknown"
                : "stale",
          ...(reason === undefined ? {} : { reason }),
          source: configured !== undefined ? "config" : url !== undefined ? "heartbeat" : "default",
          ...(beat === undefined ? {} : { last_heartbeat: DateTime.formatIso(DateTime.makeUnsafe(beat.at)) }),
          workers: isActive ? (beat?.workers.length ?? 0) : 0
        },
        peer: { url: url ?? urlOf("127.0.0.1", hive.port), token },
        workers: isActive ? (beat?.workers ?? []) : []
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
      losses.delete(id)
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
      losses.delete(alias)
      signs.set(alias, clock.currentTimeMillisUnsafe())
    },
    lost: (alias, reason) => Effect.sync(() => void losses.set(alias, reason))
  })
})
