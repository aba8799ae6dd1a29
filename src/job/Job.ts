import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { addFinalizer } from "../http/scopeFinalizers.ts"
import type { Routing } from "../operation/Routing.ts"
import type { OperationError } from "./errors.ts"
import type { JobRecord, JobState } from "./JobRecord.ts"
import type { Failure } from "./log/JobEvent.ts"
import { type JobLog, readAll } from "./log/JobLog.ts"
import type { RemoteHandle, RemoteWork, RunningJob, Submission } from "./Submission.ts"

/** What a job needs besides its submission. */
export interface JobOptions {
  readonly id: string
  readonly log: JobLog
  readonly grace: Duration.Duration
  readonly createdAt: number
}

const isoTime = (millis: number) => DateTime.formatIso(DateTime.makeUnsafe(millis))

/** The state of one job. It does not reference the request, which may be large. */
export class Job {
  readonly id: string
  readonly operation: string
  readonly routing: Routing
  readonly idempotencyKey: string | undefined
  readonly grace: Duration.Duration
  readonly log: JobLog
  readonly createdAt: number
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

  constructor(
    { hiveId, idempotency, operation, routing }: Submission,
    { createdAt, grace, id, log }: JobOptions
  ) {
    this.id = id
    this.operation = operation
    this.routing = routing
    this.idempotencyKey = idempotency?.key
    this.hiveId = hiveId
    this.grace = grace
    this.log = log
    this.createdAt = createdAt
  }

  get hasEnded() {
    return this.endedAt !== undefined
  }

  get record(): JobRecord {
    return {
      job_id: this.id,
      operation: this.operation,
      ...(this.hiveId === undefined ? {} : { hive_id: this.hiveId }),
      ...(this.hiveJobId === undefined ? {} : { hive_job_id: this.hiveJobId }),
      state: this.state,
      created_at: isoTime(this.createdAt),
      ...(this.startedAt === undefined ? {} : { started_at: isoTime(this.startedAt) }),
      ...(this.endedAt === undefined ? {} : { ended_at: isoTime(this.endedAt) }),
      ...(this.error === undefined ? {} : { error: this.error })
    }
  }

  /** The job as its work sees it. */
  get running(): RunningJob {
    return {
      id: this.id,
      runsAt: (remote) => this.#runsAt(remote),
      readEvents: readAll(this.log)
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

  #runsAt(remote: RemoteWork) {
    return Effect.suspend(() => {
      this.remote = remote
      if (remote.hiveJob !== undefined) {
        this.hiveId = remote.hiveJob.hiveId
        this.hiveJobId = remote.hiveJob.jobId
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
