import * as Schema from "effect/Schema"
import { redact } from "../../http/Redaction.ts"
import type { Failure } from "../../job/log/JobEvent.ts"
import { CapabilityMissing } from "../../operation/Capabilities.ts"
import { failureStatus } from "../../operation/failureStatus.ts"
import type { Refusal } from "./messages.ts"

/** As many requests wait for the model as may wait. */
export class QueueFull extends Schema.TaggedError<QueueFull>()(
  "QueueFull",
  { model: Schema.String, limit: Schema.Int },
  { httpApiStatus: failureStatus.QueueFull }
) {
  override get message() {
    return `${this.limit} requests wait for '${this.model}' already (scheduler.queue_length); try again in a moment`
  }
}

/** The request waited for as long as it may. */
export class QueueTimeout extends Schema.TaggedError<QueueTimeout>()(
  "QueueTimeout",
  { model: Schema.String, waitedMs: Schema.Finite, why: Schema.String },
  { httpApiStatus: failureStatus.QueueTimeout }
) {
  override get message() {
    return `No worker was free for '${this.model}' within ${Math.round(this.waitedMs)} ms (timeouts.queue, or x-rbee-deadline-ms): ${this.why}; try again later`
  }
}

/** The request wanted another worker that serves already, and there is none. */
export class NoOtherWorker extends Schema.TaggedError<NoOtherWorker>()(
  "NoOtherWorker",
  { model: Schema.String },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `No other worker serves '${this.model}'; try again later`
  }
}

/** The model runs nowhere in this fleet, as it is now. */
export class NotPlaceable extends Schema.TaggedError<NotPlaceable>()(
  "NotPlaceable",
  { model: Schema.String, reason: Schema.String },
  { httpApiStatus: failureStatus.NotPlaceable }
) {
  override get message() {
    return `Model '${this.model}' cannot be loaded: ${this.reason}; 'rbee status' shows the devices and their memory`
  }
}

/** There is no hive that an operation for any of them could go to. */
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
 * A worker was started for the model and did not come up, wherever it was tried, a moment ago or now. `retryAfter`: seconds
 * until it is tried again.
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

/** A worker that loads its model told nothing for too long. */
export class LoadStalled extends Schema.TaggedError<LoadStalled>()("LoadStalled", {
  model: Schema.String,
  hive: Schema.String,
  seconds: Schema.Finite
}) {
  override get message() {
    return `Hive '${this.hive}' told nothing of '${this.model}' being loaded for ${this.seconds} s (timeouts.load_stall)`
  }
}

/** Nothing is known of how a job was placed. */
export class NotExplained extends Schema.TaggedError<NotExplained>()("NotExplained", {
  job: Schema.String
}) {
  override get message() {
    return `Nothing was scheduled for job '${this.job}', or it was too long ago; requests of applications are scheduled (rbee jobs list shows them as complete)`
  }
}

/** A hive ended its part of a request that nobody here has cancelled, as a hive does that stops. */
export class HiveGaveUp extends Schema.TaggedError<HiveGaveUp>()(
  "HiveGaveUp",
  { hive: Schema.String },
  { httpApiStatus: failureStatus.HiveGaveUp }
) {
  override get message() {
    return `Hive '${this.hive}' gave the request up: it was stopped, or the job was cancelled there; ask again`
  }
}

/** An answer had begun when its worker was lost, and no other could go on with it. */
export class AnswerLost extends Schema.TaggedError<AnswerLost>()("AnswerLost", {
  worker: Schema.String,
  reason: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message() {
    return `The answer broke off in the middle: ${this.reason} (worker '${this.worker}'); ask again`
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

/** The error of a refusal. */
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
