import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"

const jobs = SqlClient.SqlClient.use((sql) =>
  Effect.all(
    [
      sql`CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        operation TEXT NOT NULL,
        model TEXT,
        hive_id TEXT,
        hive_job_id TEXT,
        state TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        started_at BIGINT,
        ended_at BIGINT,
        error TEXT,
        plan TEXT,
        archive_file INTEGER,
        archive_offset BIGINT,
        archive_bytes BIGINT
      )`,
      sql`CREATE INDEX jobs_archive ON jobs (archive_file, archive_offset, archive_bytes)`,
      sql`CREATE TABLE idempotency_keys (
        key TEXT PRIMARY KEY,
        job_id TEXT NOT NULL,
        digest TEXT NOT NULL,
        created_at BIGINT NOT NULL
      )`,
      sql`CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at)`,
      sql`CREATE INDEX idempotency_keys_job ON idempotency_keys (job_id)`
    ],
    { discard: true }
  )
)

/** Brings the tables to the newest version, in one transaction. */
export const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({ "0001_jobs": jobs })
})
