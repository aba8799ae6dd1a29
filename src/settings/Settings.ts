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
import { isValueTooDeep, maxDepth } from "../operation/nesting.ts"
import { type AliasSetting, aliasTable } from "./AliasSettings.ts"
import { type EngineSetting, engineTable } from "./EngineSettings.ts"
import { variable } from "./environment.ts"
import { Paths } from "./Paths.ts"
import {
  bytes,
  count,
  duration,
  durationOrOff,
  flag,
  hiveId,
  httpUrl,
  loopbackAccess,
  optionalCount,
  port,
  type SettingCodec,
  text,
  stringList
} from "./settingCodecs.ts"
import { systemProblem } from "./systemProblem.ts"

/** A setting that cannot be taken, and where it stands. */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  key: Schema.String,
  value: Schema.String,
  source: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return this.key === wholeFile
      ? `${this.source} ${this.value}`
      : `Setting '${this.key}' in ${this.source}: expected ${this.expected}, got ${this.value}`
  }
}

/** Where each setting's value came from: a flag, a variable, the file, or the default. */
export interface SettingSource {
  readonly key: string
  readonly source: string
  /** As it would be written in `config.toml`; empty for one that has no default. */
  readonly value: string
}

/** Values of settings by their key, such as `queen.port`; they win over environment and file. */
export type SettingOverrides = Readonly<Record<string, string | undefined>>

type Read = <A>(
  key: string,
  codec: SettingCodec<A>,
  fallback: A,
  /** The name that others gave the same variable of the environment; `RBEE_…` goes before it. */
  alsoVariable?: string
) => Effect.Effect<A, SettingsError>

const none: { readonly count: number } | undefined = undefined

/** The base URL of a daemon as other programs of this machine reach it. */
const urlHere = ({ host, port }: { readonly host: string; readonly port: number }) => {
  if (host === "0.0.0.0" || host === "::") return `http://127.0.0.1:${port}`
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`
}

/** Every setting, with its default. Times are durations, sizes are bytes. */
const readAll = (read: Read) =>
  Effect.gen(function* () {
    const queen = {
      host: yield* read("queen.host", text, "127.0.0.1"),
      port: yield* read("queen.port", port, 8500)
    }
    return {
      queen,
      hive: {
        id: yield* read("hive.id", hiveId, "localhost"),
        host: yield* read("hive.host", text, "127.0.0.1"),
        port: yield* read("hive.port", port, 8081),
        /** Where heartbeats go: the queen of this machine, unless it is set. */
        queenUrl: yield* read("hive.queen_url", httpUrl, urlHere(queen))
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
        /** Without a byte on the full view of a job, which has one every second: then the connection counts as broken. */
        silence: yield* read("timeouts.silence", duration, Duration.seconds(10)),
        /** For resuming a stream of events whose connection broke, before its job fails. */
        reconnect: yield* read("timeouts.reconnect", duration, Duration.seconds(30)),
        /** For a whole stream; infinity is off. */
        total: yield* read("timeouts.total", durationOrOff, Duration.infinity),
        /** Until a worker that was started answers. */
        workerStart: yield* read("timeouts.worker_start", duration, Duration.minutes(2)),
        /** Until a worker writes its first token, … */
        firstToken: yield* read("timeouts.first_token", duration, Duration.minutes(1)),
        /** … and so much more for each thousand tokens of the prompt. */
        firstTokenPer1000: yield* read("timeouts.first_token_per_1000", duration, Duration.seconds(30)),
        /** Between two tokens of a worker. */
        betweenTokens: yield* read("timeouts.between_tokens", duration, Duration.minutes(1)),
        /** How long a request of an application waits for a worker. */
        queue: yield* read("timeouts.queue", duration, Duration.minutes(5)),
        /** Without a sign of progress from a worker that loads its model. */
        loadStall: yield* read("timeouts.load_stall", duration, Duration.minutes(3)),
        /** How long a process may take to stop before it is killed. */
        shutdown: yield* read("timeouts.shutdown", duration, Duration.seconds(10)),
        /** Between two signs of life of a server that a model is downloaded from. */
        download: yield* read("timeouts.download", duration, Duration.seconds(30)),
        /** For one command on another machine, by ssh. */
        ssh: yield* read("timeouts.ssh", duration, Duration.seconds(30)),
        /** For copying rbee to another machine, by scp. */
        copy: yield* read("timeouts.copy", duration, Duration.minutes(10))
      },
      limits: {
        bodyBytes: yield* read("limits.body_bytes", bytes, 16_000_000),
        lineBytes: yield* read("limits.line_bytes", bytes, 8_000_000),
        logBytes: yield* read("limits.log_bytes", bytes, 64_000_000),
        /** Jobs that occupy a worker at the same time; others, such as `status`, never wait for them. */
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
        ),
        /** How long a hive keeps the work of a queen that vanished, which a restarted one may take up again. */
        graceRestart: yield* read("limits.grace_restart", duration, Duration.seconds(60))
      },
      heartbeat: {
        every: yield* read("heartbeat.every", duration, Duration.seconds(5)),
        /** A hive is active while its last beat is younger. */
        active: yield* read("heartbeat.active", duration, Duration.seconds(30)),
        /** How long the models of a hive stay known that does not answer. */
        forget: yield* read("heartbeat.forget", duration, Duration.hours(24))
      },
      models: {
        hfEndpoint: yield* read("models.hf_endpoint", httpUrl, "https://huggingface.co", "HF_ENDPOINT"),
        ollamaRegistry: yield* read("models.ollama_registry", httpUrl, "https://registry.ollama.ai"),
        /** The hosts of `https://` models that may have a private address. */
        privateHosts: yield* read("models.private_hosts", stringList, []),
        /** Parts of a file that are fetched at the same time. */
        connections: yield* read("models.connections", count, 4),
        /** How often a part that was cut off is asked for again before the download fails. */
        retries: yield* read("models.retries", count, 8)
      },
      workers: {
        /** After this time without a request a worker is stopped; infinity is off. */
        idleStop: yield* read("workers.idle_stop", durationOrOff, Duration.infinity),
        /** A worker's log is kept in two files of this size. */
        logBytes: yield* read("workers.log_bytes", bytes, 4_000_000)
      },
      engine: {
        /** The engine of a worker that names none. */
        name: yield* read("engine.name", text, "llama"),
        contextSize: (yield* read("engine.context_size", optionalCount, none))?.count,
        parallel: yield* read("engine.parallel", count, 4),
        threads: (yield* read("engine.threads", optionalCount, none))?.count
      },
      scheduler: {
        /** Requests that may wait for one model. */
        queueLength: yield* read("scheduler.queue_length", count, 256),
        /** How far apart the loads of two workers may be, in tokens, before a shared prefix counts no more. */
        imbalanceTokens: yield* read("scheduler.imbalance_tokens", count, 4096),
        /** How long a worker stays at least. */
        minResidency: yield* read("scheduler.min_residency", duration, Duration.seconds(20)),
        /** After so much waiting a request goes first, and a busy worker of another model may have to go. */
        starvationBound: yield* read("scheduler.starvation_bound", duration, Duration.seconds(30)),
        /** After so much waiting one more worker is started, where there is room. */
        scaleAfter: yield* read("scheduler.scale_after", duration, Duration.seconds(5)),
        /** How long a worker that was started for an application stays without a request; infinity is off. */
        idleTtl: yield* read("scheduler.idle_ttl", durationOrOff, Duration.minutes(30)),
        /** Failures in a row after which a worker rests. */
        breakerFaults: yield* read("scheduler.breaker_faults", count, 3),
        breakerPause: yield* read("scheduler.breaker_pause", duration, Duration.seconds(30)),
        /** How long a model rests on a hive that could not load it. */
        loadPause: yield* read("scheduler.load_pause", duration, Duration.seconds(30)),
        /** How many workers a request is tried on. */
        attempts: yield* read("scheduler.attempts", count, 3),
        /** Whether a model that no hive has is downloaded when an application asks for it. */
        download: yield* read("scheduler.download", flag, false)
      },
      auth: {
        /** What a daemon wants of this machine's own clients: `open`, nothing that others need not have; `token`, the token. */
        loopback: yield* read("auth.loopback", loopbackAccess, "open")
      },
      /** The tables `[aliases.NAME]`: names that applications use. */
      aliases: yield* read("aliases", aliasTable, {}),
      /** The tables `[engines.NAME]`. */
      engines: yield* read("engines", engineTable, {}),
      allowedOrigins: yield* read("allowed_origins", stringList, []),
      allowedHosts: yield* read("allowed_hosts", stringList, [])
    }
  })

/** All settings of rbee, as they were when the process started. */
export type SettingValues = Effect.Success<ReturnType<typeof readAll>>

type Groups = Omit<SettingValues, "aliases" | "allowedHosts" | "allowedOrigins" | "engines">

/** Settings that differ from their defaults. */
export type SettingChanges = { readonly [Group in keyof Groups]?: Partial<Groups[Group]> } & {
  readonly engines?: Readonly<Record<string, EngineSetting>>
  readonly aliases?: Readonly<Record<string, AliasSetting>>
  readonly allowedHosts?: ReadonlyArray<string>
  readonly allowedOrigins?: ReadonlyArray<string>
}

/** The settings: flag, environment (`RBEE_QUEEN_PORT`), `config.toml` (`[queen] port`), default, in this order. */
export class Settings extends Context.Service<
  Settings,
  SettingValues & {
    readonly sources: ReadonlyArray<SettingSource>
    /** The keys of `config.toml` that mean nothing. */
    readonly unknown: ReadonlyArray<string>
  }
>()("rbee/settings/Settings") {
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
          models: { ...values.models, ...changes.models },
          workers: { ...values.workers, ...changes.workers },
          engine: { ...values.engine, ...changes.engine },
          scheduler: { ...values.scheduler, ...changes.scheduler },
          auth: { ...values.auth, ...changes.auth },
          engines: changes.engines ?? values.engines,
          aliases: changes.aliases ?? values.aliases,
          allowedOrigins: changes.allowedOrigins ?? values.allowedOrigins,
          allowedHosts: changes.allowedHosts ?? values.allowedHosts,
          sources: [],
          unknown: []
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

const sanitized = (value: unknown): string => {
  if (value === undefined) return ""
  if (Duration.isDuration(value))
    return Duration.isFinite(value) ? Duration.format(value).replaceAll(" ", "") : "off"
  return typeof value === "string" ? value : JSON.stringify(value)
}

const readDocument = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const content = yield* fs.readFileString(file).pipe(
    Effect.map(Option.some),
    Effect.catch((error) =>
      error.reason._tag === "NotFound"
        ? Effect.succeedNone
        : Effect.fail(unusable(file, `cannot be read: ${systemProblem(error)}`))
    )
  )
  if (Option.isNone(content)) return {}
  const tooDeep = unusable(file, `is nested deeper than ${maxDepth} tables and lists`)
  // The parser recurses, and runs out of stack.
  const document = yield* Effect.mapError(Effect.fromResult(Toml.parse(content.value)), ({ message }) =>
    /call stack/.test(message) ? tooDeep : unusable(file, `is not a TOML document: ${message}`)
  )
  return isValueTooDeep(document) ? yield* tooDeep : document
})

const wholeFile = "(file)"

const unusable = (file: string, reason: string) =>
  new SettingsError({ key: wholeFile, value: reason, source: file, expected: "a TOML document" })

const make = Effect.fnUntraced(function* (overrides: SettingOverrides) {
  const { config } = yield* Paths
  const file = path.join(config, "config.toml")
  const document = yield* readDocument(file)
  const sources: Array<SettingSource> = []

  const read: Read = Effect.fnUntraced(function* (key, codec, fallback, alsoVariable) {
    const name = variableOf(key)
    const also = alsoVariable === undefined ? Option.none<string>() : yield* variable(alsoVariable)
    const given = [
      { source: "flags", raw: overrides[key] },
      { source: name, raw: Option.getOrUndefined(yield* variable(name)) },
      { source: alsoVariable ?? name, raw: Option.getOrUndefined(also) },
      { source: file, raw: lookUp(document, key) }
    ].find(({ raw }) => raw !== undefined)
    sources.push({
      key,
      source: given?.source ?? "default",
      value: given === undefined ? sanitized(fallback) : sanitized(given.raw)
    })
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
  const unknown = keysOf(document).filter(
    (key) => key !== "" && !known.has(key) && !key.startsWith("engines.") && !key.startsWith("aliases.")
  )
  for (const key of unknown) yield* Effect.logWarning("unknown setting", { key, file })
  return Settings.of({ ...values, sources, unknown })
})
