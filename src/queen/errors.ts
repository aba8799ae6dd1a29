import * as Schema from "effect/Schema"
import { JobCancelled, JobFailed, reasonText } from "../job/clientErrors.ts"

/** No hive has this id: it is not configured and sent no heartbeat. */
export class HiveNotFound extends Schema.TaggedError<HiveNotFound>()(
  "HiveNotFound",
  { hive: Schema.String, known: Schema.Array(Schema.String) },
  { httpApiStatus: 404 }
) {
  override get message() {
    return `Hive '${this.hive}' not found in configuration; known hives: ${this.known.join(", ")}`
  }
}

/** No connection to the hive came about, or it broke. */
export class ConnectionFailed extends Schema.TaggedError<ConnectionFailed>()(
  "ConnectionFailed",
  {
    hive: Schema.String,
    reason: Schema.Literals(["refused", "unresolved", "timeout", "reset"]),
    cause: Schema.optional(Schema.Defect())
  },
  { httpApiStatus: 502 }
) {
  override get message() {
    return `Failed to connect to hive: ${reasonText[this.reason]} (hive '${this.hive}')`
  }
}

/** The hive answered with something else than the wire of a hive; `status` when it was not 200. */
export class InvalidResponse extends Schema.TaggedError<InvalidResponse>()(
  "InvalidResponse",
  { hive: Schema.String, detail: Schema.String, status: Schema.optionalKey(Schema.Int) },
  { httpApiStatus: 502 }
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
    limit: Schema.Literals(["submit", "first_event", "idle", "total"]),
    seconds: Schema.Finite
  },
  { httpApiStatus: 504 }
) {
  override get message() {
    const what = this.limit === "total" ? "was not done after" : "sent nothing for"
    return `Hive '${this.hive}' ${what} ${this.seconds} s (timeouts.${this.limit})`
  }
}

/** Whatever forwarding to a hive may fail with. */
export const ForwardError = Schema.Union([
  HiveNotFound,
  ConnectionFailed,
  InvalidResponse,
  HiveTimeout,
  JobFailed,
  JobCancelled
])
export type ForwardError = typeof ForwardError.Type
