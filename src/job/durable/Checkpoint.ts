import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as SqlClient from "effect/sql/SqlClient"
import type { Archive, ArchivePosition } from "../../store/Archive.ts"
import type { JobRows } from "../../store/JobRows.ts"
import type { Journal } from "../../store/Journal.ts"
import type { KeyRows } from "../../store/KeyRows.ts"
import { rowOf } from "./jobRow.ts"
import type { LiveJob, LiveJobs } from "./LiveJobs.ts"
import type { Retention } from "./Retention.ts"
import type { StoreHealth } from "./StoreHealth.ts"

const maxJournalFile = 8 * 1024 * 1024
// A job that runs for hours must not hold up the removal of files that only it needs.
const maxJournalFiles = 8
// What is copied and written without a pause.
const groupBytes = 4 * 1024 * 1024

/** What a checkpoint moves between. */
export interface CheckpointOptions {
  readonly sql: SqlClient.SqlClient
  readonly rows: JobRows
  readonly keys: KeyRows
  readonly archive: Archive
  readonly journal: Journal
  readonly live: LiveJobs
  readonly retention: Retention
  readonly health: StoreHealth
}

/** Splits jobs into groups of a few megabytes. */
const groupsOf = (jobs: ReadonlyArray<LiveJob>) => {
  const groups: Array<Array<LiveJob>> = []
  let bytes = groupBytes
  for (const job of jobs) {
    if (bytes >= groupBytes) {
      groups.push([])
      bytes = 0
    }
    groups.at(-1)?.push(job)
    for (const piece of job.log.encoded()) bytes += piece.length
  }
  return groups
}

/** Moves ended jobs from the journal to SQLite and the archive, and removes journal files that are not needed. */
export class Checkpoint {
  readonly #options: CheckpointOptions

  constructor(options: CheckpointOptions) {
    this.#options = options
  }

  /** Returns whether another run is due soon. */
  readonly run = Effect.fnUntraced(function* (this: Checkpoint) {
    const { health, journal, live } = this.#options
    yield* health.report
    if (!journal.isWorking) {
      if (!journal.retry()) return true
      live.rewrite(live.all())
    }
    const jobs = live.takeDirty()
    const stored = yield* Effect.result(this.#store(jobs))
    if (Result.isFailure(stored)) {
      live.putBack(jobs)
      health.failed(stored.failure)
      yield* health.report
      return true
    }
    live.markStored(jobs)
    this.#shortenJournal()
    health.recovered()
    yield* health.report
    return stored.success
  })

  /** Drops idempotency keys that are too old. */
  readonly dropKeys = Effect.suspend(() =>
    Effect.catch(this.#options.retention.dropKeys(), (error) =>
      Effect.sync(() => this.#options.health.failed(error))
    )
  )

  readonly #store = Effect.fnUntraced(function* (this: Checkpoint, jobs: ReadonlyArray<LiveJob>) {
    const { keys, retention, rows, sql } = this.#options
    const ended = yield* this.#archive(jobs)
    const changed = jobs.flatMap((job) =>
      job.facts === undefined ? [] : [rowOf(job.seq, job.facts, ended.get(job.id))]
    )
    const put = Effect.gen(function* () {
      yield* rows.put(changed)
      for (const { facts, key } of jobs) {
        if (key === undefined || facts === undefined) continue
        yield* keys.put({
          key: key.key,
          job_id: key.jobId,
          digest: key.digest,
          created_at: facts.createdAt
        })
      }
    })
    if (changed.length > 0) yield* sql.withTransaction(put)
    retention.added(changed)
    return retention.isDue() ? yield* sql.withTransaction(retention.dropOld()) : false
  })

  /** Appends the logs of ended jobs to the archive; returns their positions. */
  readonly #archive = Effect.fnUntraced(function* (this: Checkpoint, ended: ReadonlyArray<LiveJob>) {
    const { archive } = this.#options
    const positions = new Map<string, ArchivePosition>()
    for (const group of groupsOf(ended)) {
      const found = yield* Effect.try(() => archive.append(group.map(({ log }) => log.encoded())))
      for (const [index, { id }] of group.entries()) {
        const position = found[index]
        if (position !== undefined) positions.set(id, position)
      }
      yield* Effect.yieldNow
    }
    yield* Effect.try(() => archive.sync())
    return positions
  })

  #shortenJournal() {
    const { journal, live } = this.#options
    if (journal.fileBytes > maxJournalFile && !journal.rotate()) return
    let oldest = live.oldestFile()
    if (journal.file - oldest >= maxJournalFiles) {
      const limit = oldest + maxJournalFiles / 2
      live.rewrite(live.all().filter(({ firstFile }) => firstFile < limit))
      oldest = live.oldestFile()
    }
    journal.afterWrite(() => {
      if (journal.isWorking) journal.dropBelow(oldest)
    })
  }
}
