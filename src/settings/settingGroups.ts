import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { AliasTable } from "./AliasSettings.ts"
import { EngineTable } from "./EngineSettings.ts"
import {
  Bytes,
  Count,
  Flag,
  HiveName,
  HttpUrl,
  LoopbackAccess,
  Port,
  StorageSync,
  StringList,
  Text,
  TimeSpan,
  TimeSpanOrOff
} from "./settingSchemas.ts"
import type { SettingsError } from "./SettingsError.ts"

/** Reads one setting. `alsoVariable` is another program's variable for it, which counts after rbee's own. */
export type ReadSetting = <A>(
  key: string,
  schema: Schema.ConstraintDecoder<A>,
  fallback: A,
  alsoVariable?: string
) => Effect.Effect<A, SettingsError>

/** The base URL of a daemon for other programs of this machine. */
const localUrl = ({ host, port }: { readonly host: string; readonly port: number }) => {
  if (host === "0.0.0.0" || host === "::") return `http://127.0.0.1:${port}`
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`
}

const queen = (read: ReadSetting) =>
  Effect.all({
    host: read("queen.host", Text, "127.0.0.1"),
    port: read("queen.port", Port, 8500)
  })

const hive = (read: ReadSetting, queenUrl: string) =>
  Effect.all({
    id: read("hive.id", HiveName, "localhost"),
    host: read("hive.host", Text, "127.0.0.1"),
    port: read("hive.port", Port, 8081),
    /** The queen that gets heartbeats; by default this machine's. */
    queenUrl: read("hive.queen_url", HttpUrl, queenUrl)
  })

/** Time limits. Waiting longer than one of them is an error that names it. */
const timeouts = (read: ReadSetting) =>
  Effect.all({
    /** For establishing a connection. */
    connect: read("timeouts.connect", TimeSpan, Duration.seconds(2)),
    /** Until a hive has accepted a job. */
    submit: read("timeouts.submit", TimeSpan, Duration.seconds(30)),
    /** Until the first event of a job. */
    firstEvent: read("timeouts.first_event", TimeSpan, Duration.seconds(30)),
    /** Between two events or comments of a stream. */
    idle: read("timeouts.idle", TimeSpan, Duration.seconds(60)),
    /** Without a byte on the full view of a job, which sends one every second, the connection counts as broken. */
    silence: read("timeouts.silence", TimeSpan, Duration.seconds(10)),
    /** For resuming an event stream after its connection broke, before its job fails. */
    reconnect: read("timeouts.reconnect", TimeSpan, Duration.seconds(30)),
    /** For a complete stream; infinity is off. */
    total: read("timeouts.total", TimeSpanOrOff, Duration.infinity),
    /** Until a started worker answers. */
    workerStart: read("timeouts.worker_start", TimeSpan, Duration.minutes(2)),
    /** Until the first token of a worker, … */
    firstToken: read("timeouts.first_token", TimeSpan, Duration.minutes(1)),
    /** … plus this for each thousand tokens of the prompt. */
    firstTokenPer1000: read("timeouts.first_token_per_1000", TimeSpan, Duration.seconds(30)),
    /** Between two tokens of a worker. */
    betweenTokens: read("timeouts.between_tokens", TimeSpan, Duration.minutes(1)),
    /** How long an application request waits for a worker. */
    queue: read("timeouts.queue", TimeSpan, Duration.minutes(5)),
    /** Without progress of a worker that is loading its model. */
    loadStall: read("timeouts.load_stall", TimeSpan, Duration.minutes(3)),
    /** How long a process may take to stop before it is killed. */
    shutdown: read("timeouts.shutdown", TimeSpan, Duration.seconds(10)),
    /** Without a byte from the server of a download. */
    download: read("timeouts.download", TimeSpan, Duration.seconds(30)),
    /** For one command on another machine, over ssh. */
    ssh: read("timeouts.ssh", TimeSpan, Duration.seconds(30)),
    /** For copying rbee to another machine with scp. */
    copy: read("timeouts.copy", TimeSpan, Duration.minutes(10))
  })

/** Sizes in bytes, and numbers of jobs. */
const limits = (read: ReadSetting) =>
  Effect.all({
    bodyBytes: read("limits.body_bytes", Bytes, 16_000_000),
    lineBytes: read("limits.line_bytes", Bytes, 8_000_000),
    logBytes: read("limits.log_bytes", Bytes, 64_000_000),
    /** Jobs that may occupy a worker at the same time; others, such as `status`, never wait for them. */
    jobsRunning: read("limits.jobs_running", Count, 512),
    jobsQueued: read("limits.jobs_queued", Count, 4096),
    jobsKept: read("limits.jobs_kept", Count, 1000),
    jobsKeptBytes: read("limits.jobs_kept_bytes", Bytes, 256_000_000),
    jobsKeptFor: read("limits.jobs_kept_for", TimeSpan, Duration.hours(1)),
    /** How long `infer` continues after its last follower has left. */
    graceAfterLastFollower: read("limits.grace_after_last_follower", TimeSpan, Duration.seconds(10)),
    /** How long a hive keeps the work of a vanished queen, which a restarted one may resume. */
    graceRestart: read("limits.grace_restart", TimeSpan, Duration.seconds(60))
  })

/** How the jobs of a daemon are kept. */
const storage = (read: ReadSetting) =>
  Effect.all({
    /**
     * `process`: jobs survive the end of the daemon's process, also a crash; `full`: a power failure too; `off`: jobs live
     * as long as the process.
     */
    sync: read("storage.sync", StorageSync, "process"),
    /** How long an idempotency key gives the job that it came with. */
    keysKeptFor: read("storage.keys_kept_for", TimeSpan, Duration.hours(24))
  })

/** Heartbeats between hives and queens. */
const heartbeat = (read: ReadSetting) =>
  Effect.all({
    every: read("heartbeat.every", TimeSpan, Duration.seconds(5)),
    /** A hive is active while its last heartbeat is younger than this. */
    active: read("heartbeat.active", TimeSpan, Duration.seconds(30)),
    /** How long the models of an unreachable hive stay known. */
    forget: read("heartbeat.forget", TimeSpan, Duration.hours(24))
  })

/** Where models are downloaded from, and how. */
const models = (read: ReadSetting) =>
  Effect.all({
    hfEndpoint: read("models.hf_endpoint", HttpUrl, "https://huggingface.co", "HF_ENDPOINT"),
    ollamaRegistry: read("models.ollama_registry", HttpUrl, "https://registry.ollama.ai"),
    /** The hosts of `https://` models that may have private addresses. */
    privateHosts: read("models.private_hosts", StringList, []),
    /** Parts of a file that are downloaded at the same time. */
    connections: read("models.connections", Count, 4),
    /** How often an interrupted part is retried before the download fails. */
    retries: read("models.retries", Count, 8)
  })

/** Workers of a hive. */
const workers = (read: ReadSetting) =>
  Effect.all({
    /** A worker without requests for this time is stopped; infinity is off. */
    idleStop: read("workers.idle_stop", TimeSpanOrOff, Duration.infinity),
    /** A worker's log consists of two files of this size. */
    logBytes: read("workers.log_bytes", Bytes, 4_000_000)
  })

/** Defaults for new workers. */
const engine = (read: ReadSetting) =>
  Effect.all({
    /** The engine of a worker whose request names none. */
    name: read("engine.name", Text, "llama"),
    contextSize: read("engine.context_size", Schema.UndefinedOr(Count), undefined),
    parallel: read("engine.parallel", Count, 4),
    threads: read("engine.threads", Schema.UndefinedOr(Count), undefined)
  })

/** The queen's scheduler. */
const scheduler = (read: ReadSetting) =>
  Effect.all({
    /** Requests that may wait for one model. */
    queueLength: read("scheduler.queue_length", Count, 256),
    /** The difference between the loads of two workers, in tokens, from which a shared prefix no longer counts. */
    imbalanceTokens: read("scheduler.imbalance_tokens", Count, 4096),
    /** The minimum time before a worker may be evicted. */
    minResidency: read("scheduler.min_residency", TimeSpan, Duration.seconds(20)),
    /** A request that has waited this long goes first, and may evict a busy worker of another model. */
    starvationBound: read("scheduler.starvation_bound", TimeSpan, Duration.seconds(30)),
    /** A request that has waited this long starts one more worker, if memory permits. */
    scaleAfter: read("scheduler.scale_after", TimeSpan, Duration.seconds(5)),
    /** How long a worker that was started for an application may be idle; infinity is off. */
    idleTtl: read("scheduler.idle_ttl", TimeSpanOrOff, Duration.minutes(30)),
    /** Consecutive failures that open the circuit breaker of a worker. */
    breakerFaults: read("scheduler.breaker_faults", Count, 3),
    breakerPause: read("scheduler.breaker_pause", TimeSpan, Duration.seconds(30)),
    /** How long a hive that could not load a model is not asked for it. */
    loadPause: read("scheduler.load_pause", TimeSpan, Duration.seconds(30)),
    /** How many workers a request may try. */
    attempts: read("scheduler.attempts", Count, 3),
    /** Whether an application request downloads a model that no hive has. */
    download: read("scheduler.download", Flag, false)
  })

/** Who may call. */
const auth = (read: ReadSetting) =>
  Effect.all({
    /** Whether clients on this machine need the daemon's token: `open` or `token`. */
    loopback: read("auth.loopback", LoopbackAccess, "open")
  })

/** Reads every setting, in the order of the output of `rbee config show`. */
export const readSettings = Effect.fnUntraced(function* (read: ReadSetting) {
  const ofQueen = yield* queen(read)
  return {
    queen: ofQueen,
    hive: yield* hive(read, localUrl(ofQueen)),
    timeouts: yield* timeouts(read),
    limits: yield* limits(read),
    storage: yield* storage(read),
    heartbeat: yield* heartbeat(read),
    models: yield* models(read),
    workers: yield* workers(read),
    engine: yield* engine(read),
    scheduler: yield* scheduler(read),
    auth: yield* auth(read),
    /** The tables `[aliases.NAME]`: public names of models. */
    aliases: yield* read("aliases", AliasTable, {}),
    /** The tables `[engines.NAME]`. */
    engines: yield* read("engines", EngineTable, {}),
    allowedOrigins: yield* read("allowed_origins", StringList, []),
    allowedHosts: yield* read("allowed_hosts", StringList, [])
  }
})
