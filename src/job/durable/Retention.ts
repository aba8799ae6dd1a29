import * as Arr from "effect/Array"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Archive } from "../../store/Archive.ts"
import type { ArchivedRow, JobRow, JobRows } from "../../store/JobRows.ts"
import type { KeyRows } from "../../store/KeyRows.ts"

const batch = 200
const slackJobs = 1000
const maxPause = 5_000
// Limits what one run drops, so that it does not take long; the next run drops the rest.
const batchesOfRun = 5

/** The limits of the ended jobs in a store; see the settings of the same names. */
export interface RetentionLimits {
  readonly jobsKept: number
  readonly jobsKeptBytes: number
  readonly jobsKeptFor: Duration.Duration
  readonly keysKeptFor: Duration.Duration
}

/** Drops the oldest logs of a store, and the records that neither have a log nor an idempotency key. */
export class Retention {
  readonly #clock: Clock.Clock
  readonly #limits: RetentionLimits
  readonly #rows: JobRows
  readonly #keys: KeyRows
  readonly #archive: Archive
  #logs: number
  #bytes: number
  #ranAt = 0

  constructor(options: {
    readonly clock: Clock.Clock
    readonly limits: RetentionLimits
    readonly rows: JobRows
    readonly keys: KeyRows
    readonly archive: Archive
    /** What the store has now. */
    readonly archived: { readonly logs: number; readonly bytes: number }
  }) {
    this.#clock = options.clock
    this.#limits = options.limits
    this.#rows = options.rows
    this.#keys = options.keys
    this.#archive = options.archive
    this.#logs = options.archived.logs
    this.#bytes = options.archived.bytes
  }

  /** Counts rows that were stored. */
  added(rows: ReadonlyArray<JobRow>) {
    for (const { archive_bytes: bytes } of rows) {
      if (bytes === null) continue
      this.#logs++
      this.#bytes += bytes
    }
  }

  /** Whether enough exceeds the limits, or enough time has passed, for a run to be worth its cost. */
  isDue() {
    const { jobsKept, jobsKeptBytes } = this.#limits
    return (
      this.#logs > jobsKept + Math.min(slackJobs, jobsKept / 10) ||
      this.#bytes > jobsKeptBytes * 1.1 ||
      this.#clock.currentTimeMillisUnsafe() - this.#ranAt > maxPause
    )
  }

  /** Drops what exceeds the limits. Returns whether there may be more. */
  readonly dropOld = Effect.fnUntraced(function* (this: Retention): Effect.fn.Return<boolean, SqlError> {
    this.#ranAt = this.#clock.currentTimeMillisUnsafe()
    for (let run = 0; run < batchesOfRun; run++) {
      const oldest = yield* this.#rows.oldestArchived(batch)
      const surplus = this.#surplusOf(oldest)
      if (Arr.isReadonlyArrayNonEmpty(surplus)) {
        yield* this.#rows.drop(Arr.map(surplus, ({ seq }) => seq))
      }
      if (surplus.length < oldest.length || oldest.length === 0) {
        this.#archive.dropBelow(oldest[surplus.length]?.archive_file ?? undefined)
        return false
      }
    }
    return true
  })

  /** Drops keys that are too old, and the records that were kept for them. */
  readonly dropKeys = Effect.fnUntraced(function* (this: Retention): Effect.fn.Return<void, SqlError> {
    const now = this.#clock.currentTimeMillisUnsafe()
    yield* this.#keys.dropOlderThan(now - Duration.toMillis(this.#limits.keysKeptFor))
    yield* this.#rows.dropBare(batch * batchesOfRun)
  })

  #surplusOf(oldest: ReadonlyArray<ArchivedRow>) {
    const { jobsKept, jobsKeptBytes, jobsKeptFor } = this.#limits
    const cutoff = this.#clock.currentTimeMillisUnsafe() - Duration.toMillis(jobsKeptFor)
    const surplus: Array<ArchivedRow> = []
    for (const row of oldest) {
      const isWithin =
        this.#logs <= jobsKept && this.#bytes <= jobsKeptBytes && (row.ended_at ?? cutoff) >= cutoff
      if (isWithin) break
      surplus.push(row)
      this.#logs--
      this.#bytes -= row.archive_bytes ?? 0
    }
    return surplus
  }
}
