import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { traced } from "../http/traced.ts"
import { Settings } from "../settings/Settings.ts"
import { type IdempotencyConflict, JobEnded, JobNotFound, type TooManyJobs } from "./errors.ts"
import type { Job } from "./Job.ts"
import { JobEntrance } from "./JobEntrance.ts"
import { JobFollowers } from "./JobFollowers.ts"
import type { JobRecord } from "./JobRecord.ts"
import { JobRunner } from "./JobRunner.ts"
import { JobTable } from "./JobTable.ts"
import type { JobLog } from "./log/JobLog.ts"
import { JobLogs } from "./log/JobLogs.ts"
import { stopJobs } from "./stopJobs.ts"
import type { Submission } from "./Submission.ts"

/** A job as its followers see it. */
export interface FollowedJob {
  readonly record: Effect.Effect<JobRecord>
  readonly log: JobLog
}

/**
 * Runs operations as jobs: each has an id, a state and a log that any number of followers read, while the job runs and
 * after its end. The queen and the hives use the same service.
 */
export class Jobs extends Context.Service<
  Jobs,
  {
    readonly submit: (submission: Submission) => Effect.Effect<JobRecord, TooManyJobs | IdempotencyConflict>
    readonly get: (id: string) => Effect.Effect<JobRecord, JobNotFound>
    /** Newest first. */
    readonly list: Effect.Effect<ReadonlyArray<JobRecord>>
    /** Adds a follower, who leaves when the scope closes, and returns the job's log. */
    readonly follow: (id: string) => Effect.Effect<FollowedJob, JobNotFound, Scope.Scope>
    /** Stops a job. Returns when its work has stopped and the job has ended. */
    readonly cancel: (id: string) => Effect.Effect<void, JobNotFound | JobEnded>
    /**
     * Stops all jobs of this daemon, because the daemon stops. Work of a hive that continues without followers
     * (`whenAbandoned: "continue"`: downloads, new models, workers that are starting or stopping) is left running there;
     * its job fails with `WorkContinues`. All other jobs are cancelled.
     */
    readonly stopAll: Effect.Effect<void>
  }
>()("rbee/job/Jobs") {
  static readonly layerNoDeps = Layer.effect(
    Jobs,
    Effect.suspend(() => make)
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(JobLogs.layerMemory))
}

const sweepInterval = Duration.minutes(1)

const make = Effect.gen(function* () {
  const { limits } = yield* Settings
  const logs = yield* JobLogs
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const table = new JobTable(limits, clock)
  const runner = new JobRunner({
    clock,
    context: yield* Effect.context<never>(),
    permits: yield* Semaphore.make(limits.jobsRunning),
    onEnd: (job, logBytes) => table.retain(job, logBytes)
  })
  const entrance = new JobEntrance({ clock, limits, logs, runner, table })

  const cancelJob = Effect.fnUntraced(function* (job: Job) {
    const { id } = job
    if (job.hasEnded) return yield* new JobEnded({ job: id, state: job.state })
    job.isCancelling = true
    // The caller may leave; a cancel that has begun is completed.
    yield* Effect.flatMap(Effect.forkIn(runner.stop(job), scope), Fiber.join)
    if (job.state !== "cancelled") return yield* new JobEnded({ job: id, state: job.state })
  })
  const followers = new JobFollowers({ scope, cancel: cancelJob })

  const find = (id: string) =>
    Effect.suspend(() => {
      const job = table.get(id)
      return job === undefined ? Effect.fail(new JobNotFound({ job: id })) : Effect.succeed(job)
    })

  yield* Effect.addFinalizer(() => runner.close)
  yield* Effect.sync(() => table.dropOld()).pipe(
    Effect.delay(sweepInterval),
    Effect.forever,
    Effect.forkScoped
  )

  return Jobs.of({
    submit: (submission) =>
      traced("Jobs.submit", { operation: submission.operation })(entrance.submit(submission)),
    get: (id) => Effect.map(find(id), (job) => job.record),
    list: Effect.sync(() =>
      table
        .all()
        .map((job) => job.record)
        .reverse()
    ),
    follow: Effect.fnUntraced(function* (id) {
      const job = yield* find(id)
      yield* followers.enter(job)
      return { record: Effect.sync(() => job.record), log: job.log }
    }),
    cancel: Effect.fn("Jobs.cancel")(function* (id) {
      yield* cancelJob(yield* find(id))
    }),
    stopAll: Effect.suspend(() => stopJobs(table.all(), runner))
  })
})
