import { createHash } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { acquireRelease } from "../http/scopeFinalizers.ts"
import { TransientMap } from "../http/TransientMap.ts"
import type { Routing } from "../operation/Routing.ts"
import { Settings } from "../settings/Settings.ts"
import {
  IdempotencyConflict,
  JobEnded,
  JobNotFound,
  type OperationError,
  TooManyJobs,
  WorkContinues
} from "./errors.ts"
import { outcomeOf } from "./JobOutcome.ts"
import type { JobRecord, JobState } from "./JobRecord.ts"
import { type Failure, JobEvent } from "./log/JobEvent.ts"
import { type JobLog, readAll } from "./log/JobLog.ts"
import { JobLogs } from "./log/JobLogs.ts"
import type { RunningJob, Submission, Work } from "./Submission.ts"

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

// A job that ended keeps its log and these few facts, and nothing of its request, which may be large.
interface Job {
  readonly id: string
  readonly operation: string
  readonly routing: Routing
  readonly idempotencyKey: string | undefined
  readonly grace: Duration.Duration
  readonly log: JobLog
  readonly createdAt: number
  state: JobState
  startedAt: number | undefined
  endedAt: number | undefined
  error: Failure | undefined
  hiveId: string | undefined
  hiveJobId: string | undefined
  stop: Effect.Effect<boolean> | undefined
  /** Nobody said that the worker did not confirm its stop. */
  isConfirmed: boolean
  failure: OperationError | undefined
  cancelling: boolean
  /** The daemon stops, and the hive continues. */
  isLeftRunning: boolean
  followers: number
  /** Counts the followers who came, so that a grace period can see whether somebody did. */
  visits: number
  keptBytes: number
}

// A healthy worker has 30 s to stop the work; after that the hive restarts it, and a queen waits for the hive's answer.
const requestTimeout = Duration.seconds(45)
const stopTimeout = Duration.seconds(5)
const sweepEvery = Duration.minutes(1)

const isoTime = (millis: number) => DateTime.formatIso(DateTime.makeUnsafe(millis))

const recordOf = (job: Job): JobRecord => ({
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

const digestOf = (body: string) => createHash("sha256").update(body).digest("base64")

const hasEnded = (job: Job) => job.endedAt !== undefined

const make = Effect.gen(function* () {
  const { limits } = yield* Settings
  const logs = yield* JobLogs
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const permits = yield* Semaphore.make(limits.jobsRunning)
  const entrance = yield* Semaphore.make(1)
  const jobs = new Map<string, Job>()
  const byKey = new Map<string, { readonly digest: string; readonly job: Job }>()
  const fibers = new TransientMap<string, Fiber.Fiber<void>>()
  let queued = 0
  let controls = 0
  let keptBytes = 0
  let isOpen = true

  const find = (id: string) =>
    Effect.suspend(() => {
      const job = jobs.get(id)
      return job === undefined ? Effect.fail(new JobNotFound({ job: id })) : Effect.succeed(job)
    })

  const forget = (job: Job) => {
    jobs.delete(job.id)
    keptBytes -= job.keptBytes
    const key = job.idempotencyKey
    if (key !== undefined && byKey.get(key)?.job === job) byKey.delete(key)
  }

  // A map keeps the order of insertion, so the oldest stand first.
  const forgetOld = () => {
    const oldest = clock.currentTimeMillisUnsafe() - Duration.toMillis(limits.jobsKeptFor)
    let surplus = jobs.size - limits.jobsKept
    for (const job of jobs.values()) {
      if (job.endedAt === undefined || job.followers > 0) continue
      if (surplus <= 0 && keptBytes <= limits.jobsKeptBytes && job.endedAt >= oldest) break
      forget(job)
      surplus--
    }
  }

  const finish = Effect.fnUntraced(function* (job: Job, exit: Exit.Exit<void, OperationError>) {
    const now = clock.currentTimeMillisUnsafe()
    const outcome = yield* outcomeOf(job, exit)
    job.state = outcome.state
    job.error = outcome.error
    job.endedAt = now
    job.stop = undefined
    const startedAt = job.startedAt ?? now
    yield* job.log.end(
      outcome.state === "completed"
        ? JobEvent.done({ queued_ms: startedAt - job.createdAt, run_ms: now - startedAt })
        : outcome.error === undefined
          ? JobEvent.cancelled(job.isConfirmed && outcome.isConfirmed !== false)
          : JobEvent.failed(outcome.error)
    )
    job.keptBytes = yield* job.log.bytes
    keptBytes += job.keptBytes
    forgetOld()
  })

  const run = (job: Job, work: Work) =>
    Effect.suspend(() => {
      queued--
      job.state = "running"
      job.startedAt = clock.currentTimeMillisUnsafe()
      const running: RunningJob = {
        id: job.id,
        setHiveJob: (hiveId, hiveJobId) =>
          Effect.sync(() => {
            job.hiveId = hiveId
            job.hiveJobId = hiveJobId
          }),
        onCancel: (stop) =>
          Effect.sync(() => {
            job.stop = stop
          }),
        unconfirmed: Effect.sync(() => {
          job.isConfirmed = false
        }),
        isLeftRunning: () => job.isLeftRunning,
        fail: (error) =>
          Effect.suspend(() => {
            job.failure ??= error
            const fiber = fibers.get(job.id)
            return fiber === undefined
              ? Effect.void
              : Effect.asVoid(Effect.forkIn(Fiber.interrupt(fiber), scope))
          }),
        write: (events) => job.log.append(events),
        readEvents: readAll(job.log)
      }
      return Stream.runForEachArray(work(running), running.write)
    })

  // A job outlives its request, of which it has the trace. With the services of the request, some eight more, the next
  // that is provided makes a copy of all that the daemon has.
  const contextOfJob = (request: Context.Context<never>) => {
    const span = Context.getOrUndefined(request, Tracer.ParentSpan)
    return span === undefined ? context : Context.add(context, Tracer.ParentSpan, span)
  }

  const leaveQueue = (job: Job) =>
    Effect.sync(() => {
      if (job.state === "queued") queued--
      if (job.routing.occupiesWorker !== true) controls--
    })

  const launch = (job: Job, work: Work) =>
    (job.routing.occupiesWorker === true ? permits.withPermit(run(job, work)) : run(job, work)).pipe(
      Effect.interruptible,
      Effect.onExit((exit) => Effect.andThen(leaveQueue(job), finish(job, exit))),
      Effect.exit,
      Effect.asVoid,
      // An interruptible fiber that is interrupted before its first step runs nothing, not even the job's end.
      Effect.forkDetach({ uninterruptible: true }),
      Effect.updateContext(contextOfJob),
      Effect.flatMap((fiber) => {
        fibers.set(job.id, fiber)
        fiber.addObserver(() => fibers.delete(job.id))
        return isOpen ? Effect.void : Fiber.interrupt(fiber)
      })
    )

  const create = Effect.fnUntraced(function* (submission: Submission) {
    const id = `job-${crypto.randomUUID()}`
    const job: Job = {
      id,
      operation: submission.operation,
      routing: submission.routing,
      idempotencyKey: submission.idempotency?.key,
      grace: submission.grace ?? limits.graceAfterLastFollower,
      log: yield* logs.make(id, limits.logBytes),
      createdAt: clock.currentTimeMillisUnsafe(),
      state: "queued",
      startedAt: undefined,
      endedAt: undefined,
      error: undefined,
      hiveId: submission.hiveId,
      hiveJobId: undefined,
      stop: undefined,
      isConfirmed: true,
      failure: undefined,
      cancelling: false,
      isLeftRunning: false,
      followers: 0,
      visits: 0,
      keptBytes: 0
    }
    jobs.set(id, job)
    if (submission.idempotency !== undefined) {
      byKey.set(submission.idempotency.key, { digest: digestOf(submission.idempotency.body), job })
    }
    queued++
    if (submission.routing.occupiesWorker !== true) controls++
    const opening = JobEvent.narration(
      submission.router,
      "route_job",
      `Executing operation: ${submission.operation}`,
      id
    )
    yield* Effect.ignore(job.log.append([opening]))
    yield* launch(job, submission.work)
    return recordOf(job)
  }, Effect.uninterruptible)

  // One at a time, so that a key is looked up and taken in one go even when a log takes its time to be made.
  const submit = Effect.fnUntraced(function* (submission: Submission) {
    const { idempotency } = submission
    const earlier = idempotency === undefined ? undefined : byKey.get(idempotency.key)
    if (earlier !== undefined) {
      if (earlier.digest === digestOf(idempotency?.body ?? "")) return recordOf(earlier.job)
      return yield* new IdempotencyConflict({ job: earlier.job.id })
    }
    // What occupies no worker never waits for what does; it has a bound of its own.
    const ahead = submission.routing.occupiesWorker === true ? queued : controls
    if (ahead >= limits.jobsQueued) return yield* new TooManyJobs({ limit: limits.jobsQueued })
    return yield* create(submission)
  }, entrance.withPermit)

  const stop = Effect.fnUntraced(function* ({ id, stop }: Job) {
    const fiber = fibers.get(id)
    if (fiber === undefined) return
    if (stop !== undefined) {
      const endsByItself = yield* Effect.timeoutOption(stop, requestTimeout)
      if (Option.getOrElse(endsByItself, () => false))
        yield* Effect.timeoutOption(Fiber.await(fiber), stopTimeout)
    }
    yield* Fiber.interrupt(fiber)
  })

  const cancel = Effect.fn("Jobs.cancel")(function* (id: string) {
    const job = yield* find(id)
    if (hasEnded(job)) return yield* new JobEnded({ job: id, state: job.state })
    job.cancelling = true
    // Whoever asked may leave; a job that is being cancelled must not be left half way.
    yield* Effect.flatMap(Effect.forkIn(stop(job), scope), Fiber.join)
    if (job.state !== "cancelled") return yield* new JobEnded({ job: id, state: job.state })
  })

  const leave = (job: Job) =>
    Effect.suspend(() => {
      job.followers--
      if (job.followers > 0 || hasEnded(job) || job.routing.whenAbandoned === "continue") return Effect.void
      const { visits } = job
      return Effect.suspend(() =>
        job.visits === visits && !hasEnded(job) ? cancel(job.id) : Effect.void
      ).pipe(Effect.delay(job.grace), Effect.ignore, Effect.forkIn(scope))
    })

  const follow = Effect.fnUntraced(function* (id: string) {
    const job = yield* find(id)
    const come = Effect.sync(() => {
      job.followers++
      job.visits++
    })
    yield* acquireRelease(come, () => leave(job))
    return { record: Effect.sync(() => recordOf(job)), log: job.log }
  })

  const stopAll = Effect.suspend(() =>
    Effect.forEach(
      [...jobs.values()].filter((job) => !hasEnded(job)),
      (job) => {
        const { cancelling, hiveId, hiveJobId, operation, routing } = job
        if (
          !cancelling &&
          hiveId !== undefined &&
          hiveJobId !== undefined &&
          routing.whenAbandoned === "continue"
        ) {
          const { repeatable } = routing
          job.isLeftRunning = true
          job.failure ??= new WorkContinues({ operation, hive: hiveId, hiveJob: hiveJobId, repeatable })
        } else job.cancelling = true
        const fiber = fibers.get(job.id)
        return fiber === undefined ? Effect.void : Fiber.interrupt(fiber)
      },
      { concurrency: "unbounded", discard: true }
    )
  )

  // Not by the scope of each fiber: what a scope lets go of is kept as long as what a `Map` does.
  yield* Effect.addFinalizer(() => {
    isOpen = false
    return Fiber.interruptAll(fibers.values())
  })
  yield* Effect.sync(forgetOld).pipe(Effect.delay(sweepEvery), Effect.forever, Effect.forkScoped)

  return Jobs.of({
    submit,
    get: (id) => Effect.map(find(id), recordOf),
    list: Effect.sync(() => [...jobs.values()].map(recordOf).reverse()),
    follow,
    cancel,
    stopAll
  })
})
