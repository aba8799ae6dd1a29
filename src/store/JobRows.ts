import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

/** An ended job as the table `jobs` has it; times are milliseconds. */
export type JobRow = {
  readonly seq: number
  readonly id: string
  readonly operation: string
  readonly model: string | null
  readonly hive_id: string | null
  readonly hive_job_id: string | null
  readonly state: string
  readonly created_at: number
  readonly started_at: number | null
  readonly ended_at: number | null
  /** The failure, as JSON. */
  readonly error: string | null
  /** What a restarted daemon needs to continue an unfinished job, as JSON. */
  readonly plan: string | null
  /** Where the archive has the events; null when they were dropped. */
  readonly archive_file: number | null
  readonly archive_offset: number | null
  readonly archive_bytes: number | null
}

// Few different statements, so that each is prepared once.
const statementSizes = [64, 16, 4, 1]

/** Splits rows into chunks of those sizes, the largest first. */
const chunksOf = <A>(rows: ReadonlyArray<A>) => {
  const chunks: Array<ReadonlyArray<A>> = []
  let at = 0
  for (const size of statementSizes) {
    for (; at + size <= rows.length; at += size) chunks.push(rows.slice(at, at + size))
  }
  return chunks
}

/** What retention reads of a job. */
export type ArchivedRow = Pick<JobRow, "archive_bytes" | "archive_file" | "ended_at" | "seq">

/** The repository of the table `jobs`. */
export const makeJobRows = Effect.map(SqlClient.SqlClient, (sql) => {
  // A checkpoint that was interrupted stores some of its jobs again.
  const insert = (rows: Arr.NonEmptyReadonlyArray<JobRow>) => sql`INSERT INTO jobs ${sql.insert(rows)}
    ON CONFLICT (seq) DO UPDATE SET archive_file = excluded.archive_file,
      archive_offset = excluded.archive_offset, archive_bytes = excluded.archive_bytes`

  return {
    /** Adds jobs. */
    put: (rows: ReadonlyArray<JobRow>) =>
      Effect.forEach(chunksOf(rows).filter(Arr.isReadonlyArrayNonEmpty), (chunk) => insert(chunk), {
        discard: true
      }),
    find: (id: string) => Effect.map(sql<JobRow>`SELECT * FROM jobs WHERE id = ${id}`, Arr.head),
    /** Newest first. */
    newest: (limit: number) => sql<JobRow>`SELECT * FROM jobs ORDER BY seq DESC LIMIT ${limit}`,
    lastSeq: Effect.map(
      sql<{ last: number | null }>`SELECT max(seq) AS last FROM jobs`,
      ([row]) => row?.last ?? 0
    ),
    /** How many logs the archive has, and their size in bytes. */
    archived: Effect.map(
      sql<{
        logs: number
        bytes: number | null
      }>`SELECT count(archive_file) AS logs, sum(archive_bytes) AS bytes
        FROM jobs WHERE archive_file IS NOT NULL`,
      ([row]) => ({ logs: row?.logs ?? 0, bytes: row?.bytes ?? 0 })
    ),
    /** The jobs with the oldest logs of the archive. */
    oldestArchived: (limit: number) =>
      sql<ArchivedRow>`SELECT seq, ended_at, archive_file, archive_bytes FROM jobs WHERE archive_file IS NOT NULL
        ORDER BY archive_file, archive_offset LIMIT ${limit}`,
    /** Removes the jobs, or, of a job with an idempotency key, only the position of its log, which is gone. */
    drop: (seqs: Arr.NonEmptyReadonlyArray<number>) =>
      Effect.andThen(
        sql`DELETE FROM jobs WHERE seq IN ${sql.in(seqs)}
          AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE job_id = jobs.id)`,
        sql`UPDATE jobs SET archive_file = NULL, archive_offset = NULL, archive_bytes = NULL
          WHERE seq IN ${sql.in(seqs)}`
      ),
    /** Removes up to `limit` jobs that have neither a log nor an idempotency key. */
    dropBare: (limit: number) =>
      sql`DELETE FROM jobs WHERE seq IN (
        SELECT seq FROM jobs WHERE archive_file IS NULL
          AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE job_id = jobs.id) LIMIT ${limit})`
  }
})

export type JobRows = Effect.Success<typeof makeJobRows>
