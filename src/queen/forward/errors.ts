import * as Schema from "effect/Schema"
import { reasonText } from "../../job/client/clientErrors.ts"
import { JobCancelled, JobFailed } from "../../job/errors.ts"
import { failureStatus } from "../../operation/failureStatus.ts"

/** No hive has this id: it is not configured and sent no heartbeat. */
export class HiveNotFound extends Schema.TaggedError<HiveNotFound>()(
  "HiveNotFound",
  {
    hive: Schema.String,
    known: Schema.Array(Schema.String),
    /** Why the hive cannot be used although it sent heartbeats. */
    reason: Schema.optionalKey(Schema.String)
  },
  { httpApiStatus: failureStatus.HiveNotFound }
) {
  override get message() {
    if (this.reason !== undefined) return this.reason
    return `Hive '${this.hive}' not found in configuration; known hives: ${this.known.join(", ")}`
  }
}

/** The hive's machine is not known: it is not in `hives.conf`. */
export class HiveNotConfigured extends Schema.TaggedError<HiveNotConfigured>()("HiveNotConfigured", {
  hive: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    const known = this.known.length === 0 ? "it has none" : `it has ${this.known.join(", ")}`
    return `Hive '${this.hive}' is not in hives.conf (${known}), so its machine cannot be reached by ssh; add a Host for it there, or 'rbee hive import-ssh'`
  }
}

/** The hive runs on its machine and cannot be reached from here. */
export class HiveNotReachable extends Schema.TaggedError<HiveNotReachable>()("HiveNotReachable", {
  hive: Schema.String,
  url: Schema.String
}) {
  override get message() {
    return `Hive '${this.hive}' runs on its machine and does not answer at ${this.url}; is its port open for this machine, and HivePort in hives.conf right?`
  }
}

/** The connection to the hive could not be made, or it broke. */
export class ConnectionFailed extends Schema.TaggedError<ConnectionFailed>()(
  "ConnectionFailed",
  {
    hive: Schema.String,
    reason: Schema.Literals(["refused", "unresolved", "timeout", "reset", "restarted"]),
    cause: Schema.optional(Schema.Defect())
  },
  { httpApiStatus: failureStatus.ConnectionFailed }
) {
  override get message() {
    return this.reason === "restarted"
      ? `Hive '${this.hive}' restarted and no longer has the job`
      : `Failed to connect to hive: ${reasonText[this.reason]} (hive '${this.hive}')`
  }
}

/** The hive stopped answering after it had received the work and before it sent any part of the answer. */
export class HiveUnreachable extends Schema.TaggedError<HiveUnreachable>()(
  "HiveUnreachable",
  { hive: Schema.String, reason: Schema.String },
  { httpApiStatus: failureStatus.HiveUnreachable }
) {
  override get message() {
    return `Hive '${this.hive}' does not answer: ${this.reason}; try again`
  }
}

/** The hive's response does not follow the wire format; `status` if it is not 200. */
export class InvalidResponse extends Schema.TaggedError<InvalidResponse>()(
  "InvalidResponse",
  { hive: Schema.String, detail: Schema.String, status: Schema.optionalKey(Schema.Int) },
  { httpApiStatus: failureStatus.InvalidResponse }
) {
  override get message() {
    return `Hive ${this.detail} (hive '${this.hive}')`
  }
}

/** The hive was silent for longer than a named limit, in seconds. */
export class HiveTimeout extends Schema.TaggedError<HiveTimeout>()(
  "HiveTimeout",
  {
    hive: Schema.String,
    limit: Schema.Literals(["submit", "silence", "first_event", "idle", "total"]),
    seconds: Schema.Finite
  },
  { httpApiStatus: failureStatus.HiveTimeout }
) {
  override get message() {
    const what = this.limit === "total" ? "was not done after" : "sent nothing for"
    return `Hive '${this.hive}' ${what} ${this.seconds} s (timeouts.${this.limit})`
  }
}

/** All errors of forwarding to a hive. */
export const ForwardError = Schema.Union([
  HiveNotFound,
  ConnectionFailed,
  InvalidResponse,
  HiveTimeout,
  JobFailed,
  JobCancelled
])
export type ForwardError = typeof ForwardError.Type
