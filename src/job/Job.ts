import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { addFinalizer } from "../http/scopeFinalizers.ts"
import type { Routing } from "../operation/Routing.ts"
import type { OperationError } from "./errors.ts"
import { type JobFacts, type JobPlan, recordOf } from "./JobFacts.ts"
import type { JobRecord, JobState } from "./JobRecord.ts"
import type { Failure } from "./log/JobEvent.ts"
import type { JobLog } from "./log/JobLog.ts"
import type { RemoteHandle, RemoteWork, RunningJob } from "./Submission.ts"

/** The routing facts of a job. */
export type JobRouting = Pick<Routing, "occupiesWorker" | "repeatable" | "whenAbandoned">

/** What a job begins with. */
export interface JobOptions {
  readonly id: string
  readonly operation: string
  readonly model?: string | undefined
  readonly hiveId?: string | undefined
  readonly routing: JobRouting
  readonly idempotencyKey?: string | undefined
  /** The request, if a restarted daemon is to run it again. */
  readonly body?: string | undefined
  /** Of a restored job: see `JobPlan`. */
  readonly ownEvents?: number | undefined
  readonly grace: Duration.Duration
  readonly log: JobLog
  readonly createdAt: number
  /** Records a change of the facts. */
  readonly onChange: (job: Job) => void
}

/** The state of one job. It references no request that is large. */
export class Job {
  readonly id: string
  readonly operation: string
  readonly model: string | undefined
  readonly routing: JobRouting
  readonly idempotencyKey: string | undefined
  readonly grace: Duration.Duration
  readonly log: JobLog
  readonly createdAt: number
  readonly #onChange: (job: Job) => void
  #body: string | undefined
  #ownEvents: number | undefined
  state: JobState = "queued"
  startedAt: number | undefined
  endedAt: number | undefined
  error: Failure | undefined
  hiveId: string | undefined
  hiveJobId: string | undefined
  /** The part of the work that currently runs in another process. */
  remote: RemoteWork | undefined
  /** False when a remote part did not confirm that it stopped. */
  isConfirmed = true
  /** The job's failure when its work is interrupted for a reason. */
  failure: OperationError | undefined
  isCancelling = false
  /** Whether this daemon stops and the hive continues the work. */
  isContinuedByHive = false
  followers = 0
  /** How many followers have ever entered; shows a grace period that a new one came. */
  visits = 0
  retainedBytes = 0

  constructor(options: JobOptions) {
    this.id = options.id
    this.operation = options.operation
    this.model = options.model
    this.routing = options.routing
    this.idempotencyKey = options.idempotencyKey
    this.hiveId = options.hiveId
    this.grace = options.grace
    this.log = options.log
    this.createdAt = options.createdAt
    this.#body = options.body
    this.#ownEvents = options.ownEvents
    this.#onChange = options.onChange
  }

  get hasEnded() {
    return this.endedAt !== undefined
  }

  get record(): JobRecord {
    return recordOf(this)
  }

  /** The facts for a store; without the plan once the job has ended. */
  get facts(): JobFacts {
    const { createdAt, endedAt, error, hiveId, hiveJobId, id, model, operation, startedAt, state } = this
    const plan = this.hasEnded ? undefined : this.#plan
    return { id, operation, model, hiveId, hiveJobId, state, createdAt, startedAt, endedAt, error, plan }
  }

  /** Records the facts as they are now. */
  save() {
    this.#onChange(this)
  }

  /** The job as its work sees it. */
  get running(): RunningJob {
    return {
      id: this.id,
      runsAt: (remote) => this.#runsAt(remote),
      readEvents: this.log.all
    }
  }

  get #handle(): RemoteHandle {
    return {
      isLeftRunning: () => this.isContinuedByHive,
      unconfirmed: () => {
        this.isConfirmed = false
      }
    }
  }

  #enterHive({ hiveId, jobId }: NonNullable<RemoteWork["hiveJob"]>) {
    if (this.hiveJobId === jobId && this.hiveId === hiveId) return
    // The events of a second hive's job are numbered by the queen.
    this.#ownEvents = this.hiveJobId === undefined ? this.log.lastWrittenId() : undefined
    this.hiveId = hiveId
    this.hiveJobId = jobId
  }

  get #plan(): JobPlan {
    const { occupiesWorker = false, repeatable, whenAbandoned } = this.routing
    return {
      repeatable,
      whenAbandoned,
      occupiesWorker,
      graceMillis: Duration.toMillis(this.grace),
      wasFollowed: this.visits > 0,
      ...(this.#ownEvents === undefined ? {} : { ownEvents: this.#ownEvents }),
      ...(this.#body === undefined ? {} : { body: this.#body })
    }
  }

  #runsAt(remote: RemoteWork) {
    return Effect.suspend(() => {
      this.remote = remote
      if (remote.hiveJob !== undefined) {
        this.#enterHive(remote.hiveJob)
        this.save()
      }
      const unregister = Effect.sync(() => {
        if (this.remote === remote) this.remote = undefined
      })
      return Effect.as(
        addFinalizer(() => unregister),
        this.#handle
      )
    })
  }
}
