import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { acquireRelease } from "../http/scopeFinalizers.ts"
import { Settings } from "../settings/Settings.ts"
import { IdempotencyConflict, JobEnded, JobNotFound, TooManyJobs, WorkContinues } from "./errors.ts"
import { Job } from "./Job.ts"
import type { JobRecord } from "./JobRecord.ts"
import { JobRunner } from "./JobRunner.ts"
import { JobTable } from "./JobTable.ts"
import { JobEvent } from "./log/JobEvent.ts"
import type { JobLog } from "./log/JobLog.ts"
import { JobLogs } from "./log/JobLogs.ts"
import type { Submission } from "./Submission.ts"

/** A job's log, for one who follows it. */
export interface FollowedJob {
  readonly record: Effect.Effect<JobRecord>
  readonly log: JobLog
}

/**
 * Runs operations as jobs: each has an id, a state and a log that any number of followers read while it grows and
 * after it ended. The queen and the hives use the same one.
 */
export class Jobs extends Context.Service<
  Jobs,
  {
    readonly submit: (submission: Submission) => Effect.Effect<JobRecord, TooManyJobs | IdempotencyConflict>
    readonly get: (id: string) => Effect.Effect<JobRecord, JobNotFound>
    /** Newest first. */
    readonly list: Effect.Effect<ReadonlyArray<JobRecord>>
    /** Gives the log of a job to a follower who leaves when the scope is closed. */
    readonly follow: (id: string) => Effect.Effect<FollowedJob, JobNotFound, Scope.Scope>
    /** Returns when the work has stopped and the job has ended. */
    readonly cancel: (id: string) => Effect.Effect<void, JobNotFound | JobEnded>
    /**
     * Stops this daemon's part of everything that runs. Work that a hive has taken and that continues when nobody
     * follows it (`whenAbandoned: "continue"`: downloads, new models, workers that are starting or stopping) is left
     * running there, as after a crash; its job fails with `WorkContinues`. All other jobs are cancelled: answers, which
     * no other client waits for, and this daemon's own operations, which end with its process and may be repeated.
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

const make = Effect.gen(function* () {
  const { limits } = yield* Settings
  const logs = yield* JobLogs
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const entrance = yield* Semaphore.make(1)
  const table = new JobTable(limits, clock)
  const runner = new JobRunner({
    clock,
    context: yield* Effect.context<never>(),
    permits: yield* Semaphore.make(limits.jobsRunning),
    onEnd: (job, logBytes) => table.retain(job, logBytes)
  })

  const find = (id: string) =>
    Effect.suspend(() => {
      const job = table.get(id)
      return job === undefined ? Effect.fail(new JobNotFound({ job: id })) : Effect.succeed(job)
    })

  const create = Effect.fnUntraced(function* (submission: Submission) {
    const id = `job-${crypto.randomUUID()}`
    const { grace = limits.graceAfterLastFollower, idempotency, operation, router, work } = submission
    const log = yield* logs.make(id, limits.logBytes)
    const job = new Job(submission, { id, log, grace, createdAt: clock.currentTimeMillisUnsafe() })
    table.add(job, idempotency)
    const opening = JobEvent.narration(router, "route_job", `Executing operation: ${operation}`, id)
    yield* Effect.ignore(log.append([opening]))
    yield* runner.launch(job, work)
    return job.record
  }, Effect.uninterruptible)

  // One at a time, so that a key is looked up and taken in one step even when making a log takes time.
  const submit = Effect.fnUntraced(function* (submission: Submission) {
    const { idempotency, routing } = submission
    const earlier = idempotency === undefined ? undefined : table.withKey(idempotency)
    if (earlier !== undefined) {
      if (earlier.isSameBody) return earlier.job.record
      return yield* new IdempotencyConflict({ job: earlier.job.id })
    }
    // Work that occupies no worker never waits for work that does; it has a limit of its own.
    const ahead = routing.occupiesWorker === true ? runner.queued : runner.controls
    if (ahead >= limits.jobsQueued) return yield* new TooManyJobs({ limit: limits.jobsQueued })
    return yield* create(submission)
  }, entrance.withPermit)

  const cancel = Effect.fn("Jobs.cancel")(function* (id: string) {
    const job = yield* find(id)
    if (job.hasEnded) return yield* new JobEnded({ job: id, state: job.state })
    job.isCancelling = true
    // The caller may leave; the cancel of a job must not stop half way.
    yield* Effect.flatMap(Effect.forkIn(runner.stop(job), scope), Fiber.join)
    if (job.state !== "cancelled") return yield* new JobEnded({ job: id, state: job.state })
  })

  const leave = (job: Job) =>
    Effect.suspend(() => {
      job.followers--
      if (job.followers > 0 || job.hasEnded || job.routing.whenAbandoned === "continue") return Effect.void
      const { visits } = job
      return Effect.suspend(() =>
        job.visits === visits && !job.hasEnded ? cancel(job.id) : Effect.void
      ).pipe(Effect.delay(job.grace), Effect.ignore, Effect.forkIn(scope))
    })

  const follow = Effect.fnUntraced(function* (id: string) {
    const job = yield* find(id)
    const enter = Effect.sync(() => {
      job.followers++
      job.visits++
    })
    yield* acquireRelease(enter, () => leave(job))
    return { record: Effect.sync(() => job.record), log: job.log }
  })

  const stopAll = Effect.suspend(() =>
    Effect.forEach(
      table.all().filter((job) => !job.hasEnded),
      (job) => {
        if (!leaveToHive(job)) job.isCancelling = true
        return runner.interrupt(job)
      },
      { concurrency: "unbounded", discard: true }
    )
  )

  yield* Effect.addFinalizer(() => runner.close)
  yield* Effect.sync(() => table.dropOld()).pipe(
    Effect.delay(sweepInterval),
    Effect.forever,
    Effect.forkScoped
  )

  return Jobs.of({
    submit,
    get: (id) => Effect.map(find(id), (job) => job.record),
    list: Effect.sync(() =>
      table
        .all()
        .map((job) => job.record)
        .reverse()
    ),
    follow,
    cancel,
    stopAll
  })
})
