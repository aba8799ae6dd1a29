import * as Schema from "effect/Schema"
import { Failure } from "./log/JobEvent.ts"

/** The states of a job, in order; the last three are final. */
export const JobState = Schema.Literals(["queued", "running", "completed", "failed", "cancelled"])
export type JobState = typeof JobState.Type

/** The facts about a job; times are ISO 8601 in UTC. */
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

/** The response header that contains the job's id. */
export const jobIdHeader = "x-rbee-job-id"
