import * as path from "node:path"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { Paths } from "../settings/Paths.ts"
import { systemProblem } from "../settings/systemProblem.ts"
import { makeFolder } from "../system/makeFolder.ts"

/** An operation that changes something: who submitted it, when, where, and how its job ended. */
export const AuditEntry = Schema.Struct({
  /** ISO 8601, in UTC. */
  time: Schema.String,
  /** The daemon that ran the operation: `queen`, or the hive. */
  daemon: Schema.String,
  /**
   * `token` or `key` with its fingerprint, the first eight hexadecimal digits of its SHA-256; `local` without credential;
   * `daemon` for the daemon itself.
   */
  caller: Schema.String,
  /** The address that the request came from. */
  address: Schema.optionalKey(Schema.String),
  operation: Schema.String,
  hive_id: Schema.optionalKey(Schema.String),
  job_id: Schema.String,
  /** The operation's fields. */
  request: Schema.Json,
  /** `done`, `cancelled`, or `failed` with the sentence; absent while the job runs, or when its daemon was killed. */
  outcome: Schema.optionalKey(Schema.String)
})
export type AuditEntry = typeof AuditEntry.Type

/** An entry without the fields that the log adds. */
export type NewEntry = Omit<AuditEntry, "daemon" | "outcome" | "time">

/** Which entries to list. */
export interface AuditQuery {
  /** The first time to list, ISO 8601; default: the oldest entry. */
  readonly since?: string | undefined
  /** The number of entries to list at most, the newest ones. */
  readonly limit: number
}

/** The append-only list of operations that change something, which all daemons of this machine share. */
export class AuditLog extends Context.Service<
  AuditLog,
  {
    /** Appends an entry. Logs a warning when the file cannot be written; the operation runs all the same. */
    readonly begin: (entry: NewEntry) => Effect.Effect<void>
    /** Appends the outcome of a job whose entry stands before it. */
    readonly end: (jobId: string, outcome: string) => Effect.Effect<void>
    /** The newest entries that match, oldest first. Lines that cannot be read are skipped. */
    readonly list: (query: AuditQuery) => Effect.Effect<ReadonlyArray<AuditEntry>>
  }
>()("rbee/access/AuditLog") {
  /**
   * For the named daemon, in `state/audit.jsonl`, which only its owner can read. At 16 MB the file becomes
   * `audit.old.jsonl`, in place of the one before.
   */
  static readonly layer = (daemon: string) =>
    Layer.effect(
      AuditLog,
      Effect.suspend(() => makeFileLog(daemon))
    )
}

const maxBytes = 16_000_000

/** The outcome of an earlier entry's job. */
const Outcome = Schema.Struct({ job_id: Schema.String, outcome: Schema.String })

// An entry has all fields of an outcome, so it is tried first.
const Line = Schema.fromJsonString(Schema.Union([AuditEntry, Outcome]))
const readLine = Schema.decodeUnknownOption(Line)
const encodeLine = Schema.encodeSync(Line)

const now = Effect.map(DateTime.now, DateTime.formatIso)

const select = (entries: ReadonlyArray<AuditEntry>, { limit, since = "" }: AuditQuery) =>
  limit === 0 ? [] : entries.filter(({ time }) => time >= since).slice(-limit)

/** The entries of the lines, each with the outcome that a later line gives. */
const entriesOf = (text: string): ReadonlyArray<AuditEntry> => {
  const entries = new Map<string, AuditEntry>()
  for (const written of text.split("\n")) {
    const line = written === "" ? undefined : Option.getOrUndefined(readLine(written))
    if (line === undefined) continue
    if ("operation" in line) entries.set(line.job_id, line)
    else {
      const entry = entries.get(line.job_id)
      if (entry !== undefined) entries.set(line.job_id, { ...entry, outcome: line.outcome })
    }
  }
  return [...entries.values()]
}

const makeFileLog = Effect.fnUntraced(function* (daemon: string) {
  const fs = yield* FileSystem.FileSystem
  const { state } = yield* Paths
  const file = path.join(state, "audit.jsonl")
  const old = path.join(state, "audit.old.jsonl")
  const writing = yield* Semaphore.make(1)

  const textOf = (name: string) => Effect.orElseSucceed(fs.readFileString(name), () => "")

  const rotate = fs.stat(file).pipe(
    Effect.flatMap(({ size }) => (size < maxBytes ? Effect.void : fs.rename(file, old))),
    Effect.ignore
  )

  // One write of one line: those of two daemons do not mix.
  const append = Effect.fnUntraced(function* (line: string) {
    yield* makeFolder(state)
    yield* rotate
    yield* fs.writeFileString(file, line, { flag: "a", mode: 0o600 })
  }, writing.withPermit)

  const write = (line: typeof Line.Type) =>
    Effect.catch(append(`${encodeLine(line)}\n`), (error) =>
      Effect.logWarning("the audit log cannot be written", { file, reason: systemProblem(error) })
    )

  return AuditLog.of({
    begin: Effect.fn("AuditLog.begin")(function* (entry) {
      yield* write({ time: yield* now, daemon, ...entry })
    }),
    end: Effect.fn("AuditLog.end")((jobId, outcome) => write({ job_id: jobId, outcome })),
    list: Effect.fn("AuditLog.list")(function* (query) {
      const texts = yield* Effect.all([textOf(old), textOf(file)])
      return select(entriesOf(texts.join("")), query)
    })
  })
})
