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
import { type IdempotencyConflict, JobEnded, type JobNotFound, type TooManyJobs } from "./errors.ts"
import { Job } from "./Job.ts"
import { JobEntrance } from "./JobEntrance.ts"
import { recordOf } from "./JobFacts.ts"
import { JobFinder } from "./JobFinder.ts"
import { JobFollowers } from "./JobFollowers.ts"
import type { JobRecord } from "./JobRecord.ts"
import { JobRecovery, type Resume } from "./JobRecovery.ts"
import { JobRunner } from "./JobRunner.ts"
import { JobStore } from "./JobStore.ts"
import { JobTable, type Retention } from "./JobTable.ts"
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
    /** The newest 10,000 jobs, newest first. */
    readonly list: Effect.Effect<ReadonlyArray<JobRecord>>
    /** The queued and running jobs, newest first. */
    readonly unfinished: Effect.Effect<ReadonlyArray<JobRecord>>
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
    /**
     * Continues the unfinished jobs that an earlier process left, with the work that `resume` finds. A job without work
     * fails with `Interrupted`. To be called once, when all handlers are there; until then these jobs wait.
     */
    readonly recover: (resume: Resume) => Effect.Effect<void>
    /** Why jobs are kept in memory only, although they should survive a restart. */
    readonly storageProblem: Effect.Effect<string | undefined>
  }
>()("rbee/job/Jobs") {
  static readonly layerNoDeps = Layer.effect(
    Jobs,
    Effect.suspend(() => make)
  )

  /** Jobs that live as long as the process. */
  static readonly layer = this.layerNoDeps.pipe(Layer.provide([JobLogs.layerMemory, JobStore.layerMemory]))
}

const sweepInterval = Duration.minutes(1)

// A store has all ended jobs; memory has those that are likely to be read.
const storedInMemory = { jobsKept: 1000, jobsKeptBytes: 64_000_000, jobsKeptFor: Duration.minutes(10) }
const maxListed = 10_000

/** The limits of the ended jobs in memory. */
const memoryLimits = (limits: Retention, isDurable: boolean): Retention =>
  isDurable
    ? {
        jobsKept: Math.min(limits.jobsKept, storedInMemory.jobsKept),
        jobsKeptBytes: Math.min(limits.jobsKeptBytes, storedInMemory.jobsKeptBytes),
        jobsKeptFor: Duration.min(limits.jobsKeptFor, storedInMemory.jobsKeptFor)
      }
    : limits

const make = Effect.gen(function* () {
  const { limits } = yield* Settings
  const logs = yield* JobLogs
  const store = yield* JobStore
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const table = new JobTable(memoryLimits(limits, store.isDurable), clock, store)
  const runner = new JobRunner({
    clock,
    context: yield* Effect.context<never>(),
    permits: yield* Semaphore.make(limits.jobsRunning),
    onEnd: (job, logBytes) => {
      job.save()
      table.retain(job, logBytes)
    }
  })
  const entrance = new JobEntrance({ clock, limits, logs, runner, store, table })

  const cancelJob = Effect.fnUntraced(function* (job: Job) {
    const { id } = job
    if (job.hasEnded) return yield* new JobEnded({ job: id, state: job.state })
    job.isCancelling = true
    // The caller may leave; a cancel that has begun is completed.
    yield* Effect.flatMap(Effect.forkIn(runner.stop(job), scope), Fiber.join)
    if (job.state !== "cancelled") return yield* new JobEnded({ job: id, state: job.state })
  })
  const followers = new JobFollowers({ scope, cancel: cancelJob })
  const recovery = new JobRecovery({ followers, runner, store, table, grace: limits.graceRestart })
  const finder = new JobFinder(table, store, maxListed)

  yield* Effect.addFinalizer(() => runner.close)
  yield* Effect.sync(() => table.dropOld()).pipe(
    Effect.delay(sweepInterval),
    Effect.forever,
    Effect.forkScoped
  )

  return Jobs.of({
    submit: (submission) =>
      traced("Jobs.submit", { operation: submission.operation })(entrance.submit(submission)),
    get: (id) => Effect.map(finder.find(id), recordOf),
    list: finder.list,
    unfinished: Effect.sync(() => table.unfinished().reverse().map(recordOf)),
    follow: Effect.fnUntraced(function* (id) {
      const job = yield* finder.find(id)
      if (job instanceof Job) yield* followers.enter(job)
      const log = job instanceof Job ? job.log : yield* store.readLog(job)
      return { record: Effect.sync(() => recordOf(job)), log }
    }),
    cancel: Effect.fn("Jobs.cancel")(function* (id) {
      const job = yield* finder.find(id)
      if (!(job instanceof Job)) return yield* new JobEnded({ job: id, state: job.state })
      yield* cancelJob(job)
    }),
    stopAll: Effect.suspend(() => stopJobs(table.all(), runner)),
    recover: (resume) => recovery.recover(resume),
    storageProblem: Effect.sync(store.problem)
  })
})
