import * as Data from "effect/Data"
import * as Schema from "effect/Schema"
import { redact } from "../../http/Redaction.ts"
import type { Failure } from "../../job/log/JobEvent.ts"
import { failureStatus } from "../../operation/failureStatus.ts"

const listed = (names: ReadonlyArray<string>) => (names.length === 0 ? "none" : names.join(", "))

const sanitized = (lines: ReadonlyArray<string>) =>
  lines.length === 0 ? "its log is empty" : `its last lines: ${lines.join(" | ")}`

/** The connection to a worker broke, or could not be made: most likely the worker's process has ended. */
export class ConnectionLost extends Data.TaggedError("WorkerGone")<{ readonly reason: string }> {}

/** No worker of this hive has this id. */
export class WorkerNotFound extends Schema.TaggedError<WorkerNotFound>()(
  "WorkerNotFound",
  { worker: Schema.String, known: Schema.Array(Schema.String) },
  { httpApiStatus: failureStatus.WorkerNotFound }
) {
  override get message() {
    return `Worker '${this.worker}' not found on this hive; known workers: ${listed(this.known)}`
  }
}

/**
 * The worker's process could not start, or ended. `lastLines` are the last of its log; `killed` is set when it was ended
 * from outside, so that its model is not the cause.
 */
export class WorkerFailed extends Schema.TaggedError<WorkerFailed>()("WorkerFailed", {
  worker: Schema.String,
  model: Schema.String,
  reason: Schema.String,
  lastLines: Schema.Array(Schema.String),
  killed: Schema.optionalKey(Schema.Boolean)
}) {
  get failure(): Failure {
    const { _tag: code, killed = false, message, worker } = this
    return { code, message: redact(message), details: { worker, killed } }
  }
  override get message() {
    return `Worker '${this.worker}' with ${this.model} failed: ${this.reason}; ${sanitized(this.lastLines)}`
  }
}

/** The worker exists, but takes no requests in its state. */
export class WorkerNotReady extends Schema.TaggedError<WorkerNotReady>()("WorkerNotReady", {
  worker: Schema.String,
  state: Schema.String,
  reason: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const why = this.reason === undefined ? "" : ` (${this.reason})`
    return `Worker '${this.worker}' is ${this.state}${why}; restart it with worker_restart, or omit worker_id`
  }
}

/** The worker has requests and was to be stopped only when idle. */
export class WorkerBusy extends Schema.TaggedError<WorkerBusy>()(
  "WorkerBusy",
  { worker: Schema.String, requests: Schema.Int },
  { httpApiStatus: 409 }
) {
  override get message() {
    return `Worker '${this.worker}' is in use by ${this.requests} requests and was not stopped; retry when it is idle`
  }
}

/** The queue for the model is full. */
export class QueueFull extends Schema.TaggedError<QueueFull>()("QueueFull", {
  model: Schema.String,
  limit: Schema.Int
}) {
  override get message() {
    return `The queue for '${this.model}' is full: ${this.limit} requests (scheduler.queue_length); retry later`
  }
}

/** The request has waited for a worker for the maximum time. */
export class QueueTimeout extends Schema.TaggedError<QueueTimeout>()("QueueTimeout", {
  model: Schema.String,
  waitedMs: Schema.Finite
}) {
  override get message() {
    return `Queue timeout: no free worker for '${this.model}' on this hive within ${this.waitedMs} ms (timeouts.queue, or x-rbee-deadline-ms); retry later`
  }
}

/** The request names a worker that serves another model. */
export class WrongModel extends Schema.TaggedError<WrongModel>()("WrongModel", {
  worker: Schema.String,
  serves: Schema.String,
  asked: Schema.String
}) {
  override get message() {
    return `Worker '${this.worker}' serves ${this.serves}, not ${this.asked}; request ${this.serves} or omit worker_id`
  }
}

/** The request names a worker that runs on another device. */
export class WrongDevice extends Schema.TaggedError<WrongDevice>()("WrongDevice", {
  worker: Schema.String,
  runsOn: Schema.String,
  asked: Schema.String
}) {
  override get message() {
    return `Worker '${this.worker}' runs on ${this.runsOn}, not on ${this.asked}; omit device or worker_id`
  }
}

const EngineWord = Schema.optional(Schema.NullOr(Schema.String))

/** The prompt, or prompt and answer together, exceed the worker's context; `detail` is the engine's message. */
export class ContextLengthExceeded extends Schema.TaggedError<ContextLengthExceeded>()(
  "ContextLengthExceeded",
  { worker: Schema.String, detail: Schema.String, type: EngineWord, param: EngineWord }
) {
  override get message() {
    return this.detail
  }
  get failure(): Failure {
    const { param = null, type = null, worker } = this
    const engine = { type, param, code: "context_length_exceeded" }
    return { code: this._tag, message: redact(this.detail), details: { worker, engine } }
  }
}

/** The worker refused a request; `detail` is the engine's message. */
export class WorkerRefused extends Schema.TaggedError<WorkerRefused>()("WorkerRefused", {
  worker: Schema.String,
  /** The HTTP status; 200 when the worker failed mid-response without a status of its own. */
  status: Schema.Int,
  detail: Schema.String,
  type: EngineWord,
  param: EngineWord,
  code: EngineWord
}) {
  override get message() {
    return this.detail
  }
  get failure(): Failure {
    const { code = null, param = null, status, type = null, worker } = this
    return {
      code: this._tag,
      message: redact(this.detail),
      details: { worker, status, engine: { type, param, code } }
    }
  }
}

/** The worker sent nothing for longer than a time limit. */
export class WorkerSilent extends Schema.TaggedError<WorkerSilent>()("WorkerSilent", {
  worker: Schema.String,
  limit: Schema.Literals(["first_token", "between_tokens"]),
  seconds: Schema.Finite
}) {
  override get message() {
    return `Worker '${this.worker}' sent nothing for ${this.seconds} s (timeouts.${this.limit})`
  }
}

/** The worker failed a request, or was silent, and does not answer its health check. */
export class WorkerUnhealthy extends Schema.TaggedError<WorkerUnhealthy>()("WorkerUnhealthy", {
  worker: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Worker '${this.worker}' does not answer its health check: ${this.reason}; see 'rbee worker logs ${this.worker}', or restart it with 'rbee worker restart ${this.worker}'`
  }
}

/** The hive's state files cannot be written. */
export class StateNotWritable extends Schema.TaggedError<StateNotWritable>()("StateNotWritable", {
  folder: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The hive cannot write its state to ${this.folder}: ${this.reason}`
  }
}

/** Another process runs the hive with this id in this home. */
export class HiveAlreadyRuns extends Schema.TaggedError<HiveAlreadyRuns>()("HiveAlreadyRuns", {
  hive: Schema.String,
  pid: Schema.Int
}) {
  override get message() {
    return `Hive '${this.hive}' is already running (pid ${this.pid}); stop it or choose another --hive-id`
  }
}
