import * as path from "node:path"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Toml from "effect/encoding/Toml"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { variable } from "./environment.ts"
import { Paths } from "./Paths.ts"
import {
  bytes,
  count,
  duration,
  durationOrOff,
  optionalCount,
  port,
  type SettingCodec,
  text,
  texts
} from "./settingCodecs.ts"

/** A setting that cannot be taken, and where it stands. */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  key: Schema.String,
  value: Schema.String,
  source: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `Setting '${this.key}' in ${this.source}: expected ${this.expected}, got ${this.value}`
  }
}

/** Where each setting's value came from: a flag, a variable, the file, or the default. */
export interface SettingSource {
  readonly key: string
  readonly source: string
}

/** Values of settings by their key, such as `queen.port`; they win over environment and file. */
export type SettingOverrides = Readonly<Record<string, string | undefined>>

type Read = <A>(key: string, codec: SettingCodec<A>, fallback: A) => Effect.Effect<A, SettingsError>

const none: { readonly count: number } | undefined = undefined

/** Every setting, with its default. Times are durations, sizes are bytes. */
const readAll = (read: Read) =>
  Effect.gen(function* () {
    return {
      queen: {
        host: yield* read("queen.host", text, "127.0.0.1"),
        port: yield* read("queen.port", port, 8500)
      },
      hive: {
        id: yield* read("hive.id", text, "localhost"),
        host: yield* read("hive.host", text, "127.0.0.1"),
        port: yield* read("hive.port", port, 8081),
        queenUrl: yield* read("hive.queen_url", text, "http://127.0.0.1:8500")
      },
      timeouts: {
        /** Until a connection stands. */
        connect: yield* read("timeouts.connect", duration, Duration.seconds(2)),
        /** Until a hive took a job. */
        submit: yield* read("timeouts.submit", duration, Duration.seconds(30)),
        /** Until the first event of a job. */
        firstEvent: yield* read("timeouts.first_event", duration, Duration.seconds(30)),
        /** Between two signs of life in a stream. */
        idle: yield* read("timeouts.idle", duration, Duration.seconds(60)),
        /** For a whole stream; infinity is off. */
        total: yield* read("timeouts.total", durationOrOff, Duration.infinity),
        /** Until a worker that was started answers. */
        workerStart: yield* read("timeouts.worker_start", duration, Duration.minutes(2)),
        /** Between two signs of life of a worker that generates. */
        workerRequest: yield* read("timeouts.worker_request", duration, Duration.minutes(2)),
        /** How long a process may take to stop before it is killed. */
        shutdown: yield* read("timeouts.shutdown", duration, Duration.seconds(10))
      },
      limits: {
        bodyBytes: yield* read("limits.body_bytes", bytes, 16_000_000),
        lineBytes: yield* read("limits.line_bytes", bytes, 8_000_000),
        logBytes: yield* read("limits.log_bytes", bytes, 64_000_000),
        jobsRunning: yield* read("limits.jobs_running", count, 512),
        jobsQueued: yield* read("limits.jobs_queued", count, 4096),
        jobsKept: yield* read("limits.jobs_kept", count, 1000),
        jobsKeptBytes: yield* read("limits.jobs_kept_bytes", bytes, 256_000_000),
        jobsKeptFor: yield* read("limits.jobs_kept_for", duration, Duration.hours(1)),
        /** How long `infer` goes on when its last follower has left. */
        graceAfterLastFollower: yield* read(
          "limits.grace_after_last_follower",
          duration,
          Duration.seconds(10)
        )
      },
      heartbeat: {
        every: yield* read("heartbeat.every", duration, Duration.seconds(5)),
        /** A hive is active while its last beat is younger. */
        active: yield* read("heartbeat.active", duration, Duration.seconds(30))
      },
      engine: {
        contextSize: (yield* read("engine.context_size", optionalCount, none))?.count,
        parallel: yield* read("engine.parallel", count, 4),
        threads: (yield* read("engine.threads", optionalCount, none))?.count
      },
      allowedOrigins: yield* read("allowed_origins", texts, []),
      allowedHosts: yield* read("allowed_hosts", texts, [])
    }
  })

/** All settings of rbee, as they were when the process started. */
export type SettingValues = Effect.Success<ReturnType<typeof readAll>>

type Groups = Omit<SettingValues, "allowedHosts" | "allowedOrigins">

/** Settings that differ from their defaults. */
export type SettingChanges = { readonly [Group in keyof Groups]?: Partial<Groups[Group]> } & {
  readonly allowedHosts?: ReadonlyArray<string>
  readonly allowedOrigins?: ReadonlyArray<string>
}

/** The settings: flag, environment (`RBEE_QUEEN_PORT`), `config.toml` (`[queen] port`), default, in this order. */
export class Settings extends Context.Service<
  Settings,
  SettingValues & { readonly sources: ReadonlyArray<SettingSource> }
>()("rbee/config/Settings") {
  /** With values that win over environment and file, such as those of flags. */
  static readonly layerWith = (overrides: SettingOverrides) =>
    Layer.effect(
      Settings,
      Effect.suspend(() => make(overrides))
    )

  static readonly layer = this.layerWith({})

  /** The defaults, with changes, without looking at environment or file: for tests and for applications. */
  static readonly layerDefaults = (changes: SettingChanges = {}) =>
    Layer.effect(
      Settings,
      Effect.map(defaults, (values) =>
        Settings.of({
          queen: { ...values.queen, ...changes.queen },
          hive: { ...values.hive, ...changes.hive },
          timeouts: { ...values.timeouts, ...changes.timeouts },
          limits: { ...values.limits, ...changes.limits },
          heartbeat: { ...values.heartbeat, ...changes.heartbeat },
          engine: { ...values.engine, ...changes.engine },
          allowedOrigins: changes.allowedOrigins ?? values.allowedOrigins,
          allowedHosts: changes.allowedHosts ?? values.allowedHosts,
          sources: []
        })
      )
    )
}

const defaults = Effect.orDie(readAll((_key, _codec, fallback) => Effect.succeed(fallback)))

const variableOf = (key: string) => `RBEE_${key.replaceAll(".", "_").toUpperCase()}`

const lookUp = (document: unknown, key: string): unknown =>
  key
    .split(".")
    .reduce<unknown>((value, name) => (Predicate.isReadonlyObject(value) ? value[name] : undefined), document)

const keysOf = (document: unknown, prefix = ""): ReadonlyArray<string> =>
  Predicate.isReadonlyObject(document)
    ? Object.entries(document).flatMap(([name, value]) =>
        keysOf(value, prefix === "" ? name : `${prefix}.${name}`)
      )
    : [prefix]

const readDocument = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const content = yield* fs.readFileString(file).pipe(
    Effect.map(Option.some),
    Effect.catch((error) =>
      error.reason._tag === "NotFound" ? Effect.succeedNone : Effect.fail(unreadable(file, error.message))
    )
  )
  if (Option.isNone(content)) return {}
  return yield* Effect.mapError(Effect.fromResult(Toml.parse(content.value)), (error) =>
    unreadable(file, error.message)
  )
})

const unreadable = (file: string, reason: string) =>
  new SettingsError({ key: "(file)", value: reason, source: file, expected: "a TOML document" })

const make = Effect.fnUntraced(function* (overrides: SettingOverrides) {
  const { config } = yield* Paths
  const file = path.join(config, "config.toml")
  const document = yield* readDocument(file)
  const sources: Array<SettingSource> = []

  const read: Read = Effect.fnUntraced(function* (key, codec, fallback) {
    const name = variableOf(key)
    const given = [
      { source: "flags", raw: overrides[key] },
      { source: name, raw: Option.getOrUndefined(yield* variable(name)) },
      { source: file, raw: lookUp(document, key) }
    ].find(({ raw }) => raw !== undefined)
    sources.push({ key, source: given?.source ?? "default" })
    if (given === undefined) return fallback
    const value = codec.read(given.raw)
    if (Option.isSome(value)) return value.value
    return yield* new SettingsError({
      key,
      value: JSON.stringify(given.raw),
      source: given.source,
      expected: codec.expected
    })
  })

  const values = yield* readAll(read)
  const known = new Set(sources.map(({ key }) => key))
  for (const key of keysOf(document)) {
    if (key !== "" && !known.has(key)) yield* Effect.logWarning("unknown setting", { key, file })
  }
  return Settings.of({ ...values, sources })
})
