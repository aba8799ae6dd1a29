import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { mayRunTwice } from "../operation/Routing.ts"
import type { Settings } from "../settings/Settings.ts"
import { IdempotencyConflict, TooManyJobs } from "./errors.ts"
import { Job } from "./Job.ts"
import { recordOf } from "./JobFacts.ts"
import type { JobRecord } from "./JobRecord.ts"
import type { JobRunner } from "./JobRunner.ts"
import type { JobStore } from "./JobStore.ts"
import { digestOf, type JobTable } from "./JobTable.ts"
import { JobEvent } from "./log/JobEvent.ts"
import type { JobLogs } from "./log/JobLogs.ts"
import type { Submission } from "./Submission.ts"

type Idempotency = NonNullable<Submission["idempotency"]>

/** The record of a submission's job, and the job if it is a new one. */
interface Entered {
  readonly record: JobRecord
  readonly job: Job | undefined
}

const maxStoredBody = 16_384

/** Turns submissions into running jobs. */
export class JobEntrance {
  readonly #clock: Clock.Clock
  readonly #limits: Settings["Service"]["limits"]
  readonly #logs: JobLogs["Service"]
  readonly #runner: JobRunner
  readonly #store: JobStore["Service"]
  readonly #table: JobTable
  // One submission at a time, so that nothing comes between the look-up of a key and its registration.
  readonly #permit = Semaphore.makeUnsafe(1)

  constructor(options: {
    readonly clock: Clock.Clock
    readonly limits: Settings["Service"]["limits"]
    readonly logs: JobLogs["Service"]
    readonly runner: JobRunner
    readonly store: JobStore["Service"]
    readonly table: JobTable
  }) {
    this.#clock = options.clock
    this.#limits = options.limits
    this.#logs = options.logs
    this.#runner = options.runner
    this.#store = options.store
    this.#table = options.table
  }

  /** Creates a job and starts it, or returns the job that has the submission's idempotency key. */
  submit(submission: Submission) {
    return Effect.uninterruptible(
      Effect.flatMap(this.#permit.withPermit(this.#enter(submission)), ({ job, record }) =>
        // A job of which the client hears, or that begins to work, survives the end of the process.
        Effect.andThen(
          this.#store.written,
          job === undefined
            ? Effect.succeed(record)
            : Effect.as(this.#runner.launch(job, submission.work), record)
        )
      )
    )
  }

  readonly #enter = Effect.fnUntraced(function* (
    this: JobEntrance,
    submission: Submission
  ): Effect.fn.Return<Entered, IdempotencyConflict | TooManyJobs> {
    const { idempotency, routing } = submission
    const earlier = idempotency === undefined ? undefined : yield* this.#withKey(idempotency)
    if (earlier !== undefined) {
      if (earlier.isSameBody) return { record: earlier.record, job: undefined }
      return yield* new IdempotencyConflict({ job: earlier.record.job_id })
    }
    // Jobs that occupy no worker never wait for jobs that do; they have a limit of their own.
    const waiting = routing.occupiesWorker === true ? this.#runner.queued : this.#runner.controls
    const limit = this.#limits.jobsQueued
    if (waiting >= limit) return yield* new TooManyJobs({ limit })
    const job = yield* this.#create(submission)
    return { record: job.record, job }
  })

  readonly #withKey = Effect.fnUntraced(function* (this: JobEntrance, { body, key }: Idempotency) {
    const known = this.#table.withKey({ body, key })
    if (known !== undefined) return { record: known.job.record, isSameBody: known.isSameBody }
    const stored = yield* this.#store.findKey(key)
    if (stored === undefined) return undefined
    const facts = this.#table.get(stored.jobId) ?? (yield* this.#store.find(stored.jobId))
    return facts === undefined
      ? undefined
      : { record: recordOf(facts), isSameBody: stored.digest === digestOf(body) }
  })

  readonly #create = Effect.fnUntraced(function* (this: JobEntrance, submission: Submission) {
    const id = `job-${crypto.randomUUID()}`
    const { graceAfterLastFollower, logBytes } = this.#limits
    const { body, grace = graceAfterLastFollower, idempotency, operation, router, routing } = submission
    const log = yield* this.#logs.make(id, logBytes)
    const job = new Job({
      id,
      operation,
      model: submission.model,
      hiveId: submission.hiveId,
      routing,
      idempotencyKey: idempotency?.key,
      body: mayRunTwice(routing) && body !== undefined && body.length <= maxStoredBody ? body : undefined,
      grace,
      log,
      createdAt: this.#clock.currentTimeMillisUnsafe(),
      onChange: ({ facts }) => this.#store.save(facts)
    })
    const key =
      idempotency === undefined
        ? undefined
        : { key: idempotency.key, jobId: id, digest: digestOf(idempotency.body) }
    this.#table.add(job, key)
    this.#runner.admit(job)
    this.#store.save(job.facts, key)
    const opening = JobEvent.narration(router, "route_job", `Executing operation: ${operation}`, id)
    yield* Effect.ignore(log.append([opening]))
    return job
  })
}
