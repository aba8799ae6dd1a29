import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

/** An idempotency key, the job that it gives, and the digest of the body that it came with. */
export type KeyRow = {
  readonly key: string
  readonly job_id: string
  readonly digest: string
  readonly created_at: number
}

/** The repository of the table `idempotency_keys`. */
export const makeKeyRows = Effect.map(SqlClient.SqlClient, (sql) => ({
  put: (row: KeyRow) =>
    sql`INSERT INTO idempotency_keys ${sql.insert(row)} ON CONFLICT (key) DO UPDATE SET
      job_id = excluded.job_id, digest = excluded.digest, created_at = excluded.created_at`,
  find: (key: string) => Effect.map(sql<KeyRow>`SELECT * FROM idempotency_keys WHERE key = ${key}`, Arr.head),
  dropOlderThan: (millis: number) => sql`DELETE FROM idempotency_keys WHERE created_at < ${millis}`
}))

export type KeyRows = Effect.Success<typeof makeKeyRows>
