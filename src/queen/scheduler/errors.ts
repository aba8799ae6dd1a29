import * as Schema from "effect/Schema"
import { redact } from "../../http/Redaction.ts"
import type { Failure } from "../../job/log/JobEvent.ts"
import { CapabilityMissing } from "../../operation/Capabilities.ts"
import { failureStatus } from "../../operation/failureStatus.ts"
import type { Refusal } from "./messages.ts"

/** The queue of the model is full. */
export class QueueFull extends Schema.TaggedError<QueueFull>()(
  "QueueFull",
  { model: Schema.String, limit: Schema.Int },
  { httpApiStatus: failureStatus.QueueFull }
) {
  override get message() {
    return `The queue for '${this.model}' is full: ${this.limit} requests (scheduler.queue_length); retry later`
  }
}

/** The request waited until its deadline. */
export class QueueTimeout extends Schema.TaggedError<QueueTimeout>()(
  "QueueTimeout",
  { model: Schema.String, waitedMs: Schema.Finite, why: Schema.String },
  { httpApiStatus: failureStatus.QueueTimeout }
) {
  override get message() {
    return `No worker was free for '${this.model}' within ${Math.round(this.waitedMs)} ms (timeouts.queue, or x-rbee-deadline-ms): ${this.why}; try again later`
  }
}

/** The request needs another worker that serves already, and none is left. */
export class NoOtherWorker extends Schema.TaggedError<NoOtherWorker>()(
  "NoOtherWorker",
  { model: Schema.String },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `No other worker serves '${this.model}'; try again later`
  }
}

/** No hive of the fleet can run the model now. */
export class NotPlaceable extends Schema.TaggedError<NotPlaceable>()(
  "NotPlaceable",
  { model: Schema.String, reason: Schema.String },
  { httpApiStatus: failureStatus.NotPlaceable }
) {
  override get message() {
    return `Model '${this.model}' cannot be loaded: ${this.reason}; 'rbee status' shows the devices and their memory`
  }
}

/** No hive can accept an operation for any hive. */
export class NoHiveAnswers extends Schema.TaggedError<NoHiveAnswers>()(
  "NoHiveAnswers",
  {},
  { httpApiStatus: failureStatus.NoHiveAnswers }
) {
  override get message() {
    return "No hive answers; 'rbee hive list' shows the hives and 'rbee hive start' starts one"
  }
}

/**
 * Loading the model failed at every possible place, now or recently. `retryAfter`: seconds until the next load may be
 * tried.
 */
export class LoadFailed extends Schema.TaggedError<LoadFailed>()(
  "LoadFailed",
  { model: Schema.String, reason: Schema.String, retryAfter: Schema.optional(Schema.Int) },
  { httpApiStatus: failureStatus.LoadFailed }
) {
  override get message() {
    return `Model '${this.model}' could not be loaded: ${this.reason}`
  }
  get failure(): Failure {
    const { _tag: code, message, retryAfter } = this
    const details = retryAfter === undefined ? {} : { details: { retry_after: retryAfter } }
    return { code, message: redact(message), ...details }
  }
}

/** A loading worker reported no progress for too long. */
export class LoadStalled extends Schema.TaggedError<LoadStalled>()("LoadStalled", {
  model: Schema.String,
  hive: Schema.String,
  seconds: Schema.Finite
}) {
  override get message() {
    return `Hive '${this.hive}' reported no progress loading '${this.model}' for ${this.seconds} s (timeouts.load_stall)`
  }
}

/** No scheduling decision is stored for a job. */
export class NotExplained extends Schema.TaggedError<NotExplained>()("NotExplained", {
  job: Schema.String
}) {
  override get message() {
    return `No scheduling record for job '${this.job}': not an application request, or expired (rbee jobs list shows application requests as complete)`
  }
}

/** A hive aborted a request that this queen did not cancel, such as a stopping hive. */
export class HiveGaveUp extends Schema.TaggedError<HiveGaveUp>()(
  "HiveGaveUp",
  { hive: Schema.String },
  { httpApiStatus: failureStatus.HiveGaveUp }
) {
  override get message() {
    return `Hive '${this.hive}' aborted the request (hive stopped or job cancelled there); retry`
  }
}

/** A worker was lost mid-stream, and no other could continue the answer. */
export class AnswerLost extends Schema.TaggedError<AnswerLost>()("AnswerLost", {
  worker: Schema.String,
  reason: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message() {
    return `Response interrupted: ${this.reason} (worker '${this.worker}'); retry`
  }
  get failure(): Failure {
    return { code: this._tag, message: this.message, details: { worker: this.worker } }
  }
}

export type ScheduleError =
  | CapabilityMissing
  | LoadFailed
  | NoOtherWorker
  | NotPlaceable
  | QueueFull
  | QueueTimeout

/** The error that a refused request fails with. */
export const toError = (model: string, refusal: Refusal): ScheduleError => {
  switch (refusal._tag) {
    case "QueueFull":
      return new QueueFull({ model, limit: refusal.limit })
    case "QueueTimeout":
      return new QueueTimeout({ model, waitedMs: refusal.waitedMs, why: refusal.why })
    case "NoOtherWorker":
      return new NoOtherWorker({ model })
    case "Incapable":
      return new CapabilityMissing({ model, capability: refusal.capability })
    case "Impossible":
      return new NotPlaceable({ model, reason: refusal.reason })
    case "LoadFailed":
      return new LoadFailed({
        model,
        reason: refusal.reason,
        retryAfter:
          refusal.retryAfterMs === undefined ? undefined : Math.max(1, Math.ceil(refusal.retryAfterMs / 1000))
      })
  }
}
