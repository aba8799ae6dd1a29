import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import type { JobRecord, JobState } from "./JobRecord.ts"
import type { Failure } from "./log/JobEvent.ts"

/** What a restarted daemon needs to continue an unfinished job. */
export const JobPlan = Schema.Struct({
  /** Whether the request may be sent again while nothing of its answer was seen. */
  repeatable: Schema.Boolean,
  whenAbandoned: Schema.Literals(["cancel", "continue"]),
  occupiesWorker: Schema.Boolean,
  graceMillis: Schema.Finite,
  /** Whether the job ever had a follower. */
  wasFollowed: Schema.Boolean,
  /** Where the events of the hive's job begin: the queen's id minus the hive's. Absent unless one hive's job gives the answer. */
  ownEvents: Schema.optionalKey(Schema.Finite),
  /** The request, if it may run twice and is small. */
  body: Schema.optionalKey(Schema.String)
})
export type JobPlan = typeof JobPlan.Type

/** The facts about a job that survive a restart; times are milliseconds. */
export interface JobFacts {
  readonly id: string
  readonly operation: string
  readonly model?: string | undefined
  readonly hiveId?: string | undefined
  readonly hiveJobId?: string | undefined
  readonly state: JobState
  readonly createdAt: number
  readonly startedAt?: number | undefined
  readonly endedAt?: number | undefined
  readonly error?: Failure | undefined
  readonly plan?: JobPlan | undefined
}

const isoTime = (millis: number) => DateTime.formatIso(DateTime.makeUnsafe(millis))

/** The record of a job as clients get it. */
export const recordOf = (job: JobFacts): JobRecord => ({
  job_id: job.id,
  operation: job.operation,
  ...(job.hiveId === undefined ? {} : { hive_id: job.hiveId }),
  ...(job.hiveJobId === undefined ? {} : { hive_job_id: job.hiveJobId }),
  state: job.state,
  created_at: isoTime(job.createdAt),
  ...(job.startedAt === undefined ? {} : { started_at: isoTime(job.startedAt) }),
  ...(job.endedAt === undefined ? {} : { ended_at: isoTime(job.endedAt) }),
  ...(job.error === undefined ? {} : { error: job.error })
})
