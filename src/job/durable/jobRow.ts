import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ArchivePosition } from "../../store/Archive.ts"
import type { JobRow } from "../../store/JobRows.ts"
import { type JobFacts, JobPlan } from "../JobFacts.ts"
import { JobState } from "../JobRecord.ts"
import { Failure } from "../log/JobEvent.ts"

const readPlan = Schema.decodeUnknownOption(Schema.fromJsonString(JobPlan))
const readFailure = Schema.decodeUnknownOption(Schema.fromJsonString(Failure))
const readState = Schema.decodeUnknownOption(JobState)

/** The row of a job; `archive` is where its events are after its end. */
export const rowOf = (seq: number, job: JobFacts, archive?: ArchivePosition): JobRow => ({
  seq,
  id: job.id,
  operation: job.operation,
  model: job.model ?? null,
  hive_id: job.hiveId ?? null,
  hive_job_id: job.hiveJobId ?? null,
  state: job.state,
  created_at: job.createdAt,
  started_at: job.startedAt ?? null,
  ended_at: job.endedAt ?? null,
  error: job.error === undefined ? null : JSON.stringify(job.error),
  plan: job.plan === undefined ? null : JSON.stringify(job.plan),
  archive_file: archive?.file ?? null,
  archive_offset: archive?.offset ?? null,
  archive_bytes: archive?.bytes ?? null
})

/** The facts in a row. */
export const factsOf = (row: JobRow): JobFacts => ({
  id: row.id,
  operation: row.operation,
  model: row.model ?? undefined,
  hiveId: row.hive_id ?? undefined,
  hiveJobId: row.hive_job_id ?? undefined,
  state: Option.getOrElse(readState(row.state), () => "failed" as const),
  createdAt: row.created_at,
  startedAt: row.started_at ?? undefined,
  endedAt: row.ended_at ?? undefined,
  error: row.error === null ? undefined : Option.getOrUndefined(readFailure(row.error)),
  plan: row.plan === null ? undefined : Option.getOrUndefined(readPlan(row.plan))
})

/** Where the archive has the events of a row's job. */
export const archiveOf = (row: JobRow): ArchivePosition | undefined =>
  row.archive_file === null || row.archive_offset === null || row.archive_bytes === null
    ? undefined
    : { file: row.archive_file, offset: row.archive_offset, bytes: row.archive_bytes }

const NullableText = Schema.NullOr(Schema.String)
const NullableNumber = Schema.NullOr(Schema.Finite)

/** What the journal has of a change: the row, and the key of a new job. */
export const JournalRecord = Schema.fromJsonString(
  Schema.Struct({
    row: Schema.Struct({
      seq: Schema.Finite,
      id: Schema.String,
      operation: Schema.String,
      model: NullableText,
      hive_id: NullableText,
      hive_job_id: NullableText,
      state: Schema.String,
      created_at: Schema.Finite,
      started_at: NullableNumber,
      ended_at: NullableNumber,
      error: NullableText,
      plan: NullableText,
      archive_file: NullableNumber,
      archive_offset: NullableNumber,
      archive_bytes: NullableNumber
    }),
    key: Schema.optionalKey(
      Schema.Struct({ key: Schema.String, jobId: Schema.String, digest: Schema.String })
    )
  })
)
