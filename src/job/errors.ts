import * as Schema from "effect/Schema"
import type { Failure } from "./JobEvent.ts"

/** What the stream of an operation may fail with: a tag that programs read, and a sentence for the user. */
export interface OperationError {
  readonly _tag: string
  readonly message: string
  /** The failure as it goes into the job's log, where it is not just the tag and the sentence. */
  readonly failure?: Failure
}

/** No job has this id, or it ended long ago and was dropped. */
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

/** As many jobs wait as may wait. */
export class TooManyJobs extends Schema.TaggedError<TooManyJobs>()(
  "TooManyJobs",
  { limit: Schema.Finite },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `The queue is full: ${this.limit} jobs (limits.jobs_queued); try again in a moment`
  }
}

/** The job wrote more than its log may hold, not counting the narration that was dropped. */
export class LogFull extends Schema.TaggedError<LogFull>()("LogFull", { limitBytes: Schema.Finite }) {
  override get message() {
    return `The job wrote more than its log may hold, ${this.limitBytes} bytes (limits.log_bytes)`
  }
}

/** The work went wrong in a way that nobody foresaw; the daemon's log has the details. */
export class InternalError extends Schema.TaggedError<InternalError>()("InternalError", {
  job: Schema.String
}) {
  override get message() {
    return `Internal error in job '${this.job}'; the daemon's log has the details`
  }
}
