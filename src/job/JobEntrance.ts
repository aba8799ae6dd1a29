import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Settings } from "../settings/Settings.ts"
import { IdempotencyConflict, TooManyJobs } from "./errors.ts"
import { Job } from "./Job.ts"
import type { JobRunner } from "./JobRunner.ts"
import type { JobTable } from "./JobTable.ts"
import { JobEvent } from "./log/JobEvent.ts"
import type { JobLogs } from "./log/JobLogs.ts"
import type { Submission } from "./Submission.ts"

/** Turns submissions into running jobs. */
export class JobEntrance {
  readonly #clock: Clock.Clock
  readonly #limits: Settings["Service"]["limits"]
  readonly #logs: JobLogs["Service"]
  readonly #runner: JobRunner
  readonly #table: JobTable
  // One submission at a time, so that nothing comes between the look-up of a key and its registration.
  readonly #permit = Semaphore.makeUnsafe(1)

  constructor(options: {
    readonly clock: Clock.Clock
    readonly limits: Settings["Service"]["limits"]
    readonly logs: JobLogs["Service"]
    readonly runner: JobRunner
    readonly table: JobTable
  }) {
    this.#clock = options.clock
    this.#limits = options.limits
    this.#logs = options.logs
    this.#runner = options.runner
    this.#table = options.table
  }

  /** Creates a job and starts it, or returns the job that has the submission's idempotency key. */
  submit(submission: Submission) {
    return this.#permit.withPermit(this.#submit(submission))
  }

  readonly #submit = Effect.fnUntraced(function* (this: JobEntrance, submission: Submission) {
    const { idempotency, routing } = submission
    const earlier = idempotency === undefined ? undefined : this.#table.withKey(idempotency)
    if (earlier !== undefined) {
      if (earlier.isSameBody) return earlier.job.record
      return yield* new IdempotencyConflict({ job: earlier.job.id })
    }
    // Jobs that occupy no worker never wait for jobs that do; they have a limit of their own.
    const waiting = routing.occupiesWorker === true ? this.#runner.queued : this.#runner.controls
    const limit = this.#limits.jobsQueued
    if (waiting >= limit) return yield* new TooManyJobs({ limit })
    return yield* this.#create(submission)
  })

  readonly #create = Effect.fnUntraced(function* (this: JobEntrance, submission: Submission) {
    const id = `job-${crypto.randomUUID()}`
    const { graceAfterLastFollower, logBytes } = this.#limits
    const { grace = graceAfterLastFollower, idempotency, operation, router, work } = submission
    const log = yield* this.#logs.make(id, logBytes)
    const job = new Job(submission, { id, log, grace, createdAt: this.#clock.currentTimeMillisUnsafe() })
    this.#table.add(job, idempotency)
    const opening = JobEvent.narration(router, "route_job", `Executing operation: ${operation}`, id)
    yield* Effect.ignore(log.append([opening]))
    yield* this.#runner.launch(job, work)
    return job.record
  }, Effect.uninterruptible)
}
