import * as Effect from "effect/Effect"
import { WorkContinues } from "./errors.ts"
import type { Job } from "./Job.ts"
import type { JobRunner } from "./JobRunner.ts"

/** Records that the hive continues the job's work without this daemon, if the operation declares that. */
const leaveToHive = (job: Job) => {
  const { hiveJob } = job.remote ?? {}
  const { repeatable, whenAbandoned } = job.routing
  if (job.isCancelling || hiveJob === undefined || whenAbandoned !== "continue") return false
  job.isContinuedByHive = true
  job.failure ??= new WorkContinues({
    operation: job.operation,
    hive: hiveJob.hiveId,
    hiveJob: hiveJob.jobId,
    repeatable
  })
  return true
}

/** Stops this daemon's part of the jobs; returns when they have ended. */
export const stopJobs = (jobs: ReadonlyArray<Job>, runner: JobRunner) =>
  Effect.forEach(
    jobs.filter((job) => !job.hasEnded),
    (job) => {
      if (!leaveToHive(job)) job.isCancelling = true
      return runner.interrupt(job)
    },
    { concurrency: "unbounded", discard: true }
  )
