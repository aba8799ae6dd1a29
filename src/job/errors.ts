import * as Schema from "effect/Schema"
import type { Failure } from "./log/JobEvent.ts"

/** A failure of an operation: a tag for programs and a sentence for the user. */
export interface OperationError {
  readonly _tag: string
  readonly message: string
  /** The failure for the job's log; absent when it consists of the tag and the sentence. */
  readonly failure?: Failure
}

/** No job has this id; perhaps it ended long ago and was dropped. */
export class JobNotFound extends Schema.TaggedError<JobNotFound>()(
  "JobNotFound",
  { job: Schema.String },
  { httpApiStatus: 404 }
) {
  override get message() {
    return `Job '${this.job}' not found; 'rbee jobs list' shows the jobs that are kept`
  }
}

/** The job had ended before it could be cancelled. */
export class JobEnded extends Schema.TaggedError<JobEnded>()(
  "JobEnded",
  { job: Schema.String, state: Schema.String },
  { httpApiStatus: 409 }
) {
  override get message() {
    return `Job '${this.job}' had already ended: ${this.state}`
  }
}

/** The same idempotency key came with another body. */
export class IdempotencyConflict extends Schema.TaggedError<IdempotencyConflict>()(
  "IdempotencyConflict",
  { job: Schema.String },
  { httpApiStatus: 422 }
) {
  override get message() {
    return `This Idempotency-Key was used with another body, for job '${this.job}'; use a new key for a new request`
  }
}

/** The queue is full. */
export class TooManyJobs extends Schema.TaggedError<TooManyJobs>()(
  "TooManyJobs",
  { limit: Schema.Finite },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `The queue is full: ${this.limit} jobs (limits.jobs_queued); try again in a moment`
  }
}

/** The queen is stopping, and the job's work continues on its hive. */
export class WorkContinues extends Schema.TaggedError<WorkContinues>()("WorkContinues", {
  operation: Schema.String,
  hive: Schema.String,
  hiveJob: Schema.String,
  repeatable: Schema.Boolean
}) {
  override get message() {
    const next = this.repeatable
      ? "repeat the operation to follow it again"
      : "check its outcome there before you repeat it"
    return `The queen is stopping; ${this.operation} continues on hive '${this.hive}' as ${this.hiveJob}: ${next}`
  }
}

/** The daemon was restarted while it ran the job, and cannot continue the work. */
export class Interrupted extends Schema.TaggedError<Interrupted>()("Interrupted", {
  operation: Schema.String,
  /** Whether the work may have changed something. */
  hasEffects: Schema.Boolean
}) {
  override get message() {
    const next = this.hasEffects ? "check what it has done before you submit it again" : "submit it again"
    return `The daemon was restarted while it ran '${this.operation}', which did not end; ${next}`
  }
}

/** A bug in the work of a job; the daemon's log has the details. */
export class InternalError extends Schema.TaggedError<InternalError>()("InternalError", {
  job: Schema.String
}) {
  override get message() {
    return `Internal error in job '${this.job}'; the daemon's log has the details`
  }
}

/** The job failed on its hive; code and sentence are those of the hive. */
export class JobFailed extends Schema.TaggedError<JobFailed>()("JobFailed", {
  code: Schema.String,
  sentence: Schema.String,
  details: Schema.optionalKey(Schema.Json)
}) {
  override get message() {
    return this.sentence
  }
  get failure(): Failure {
    const { code, details, sentence } = this
    return { code, message: sentence, ...(details === undefined ? {} : { details }) }
  }
}

/** The job was cancelled on its hive. */
export class JobCancelled extends Schema.TaggedError<JobCancelled>()("JobCancelled", {
  /** Whether the worker confirmed that it stopped; absent when no worker was asked. */
  confirmed: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    return "The job was cancelled"
  }
}
