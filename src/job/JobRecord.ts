import * as Schema from "effect/Schema"
import { Failure } from "./log/JobEvent.ts"

/** The life of a job; the last three are its ends. */
export const JobState = Schema.Literals(["queued", "running", "completed", "failed", "cancelled"])
export type JobState = typeof JobState.Type

/** What is known of a job; times are ISO 8601 in UTC. */
export const JobRecord = Schema.Struct({
  job_id: Schema.String,
  operation: Schema.String,
  hive_id: Schema.optionalKey(Schema.String),
  hive_job_id: Schema.optionalKey(Schema.String),
  state: JobState,
  created_at: Schema.String,
  started_at: Schema.optionalKey(Schema.String),
  ended_at: Schema.optionalKey(Schema.String),
  error: Schema.optionalKey(Failure)
})
export type JobRecord = typeof JobRecord.Type

/** The header of an answer that names the job behind it. */
export const jobIdHeader = "x-rbee-job-id"
