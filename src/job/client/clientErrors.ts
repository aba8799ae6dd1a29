import * as Schema from "effect/Schema"

/** No connection to the daemon: it does not run, its name is unknown, or it went away. */
export class PeerUnreachable extends Schema.TaggedError<PeerUnreachable>()("PeerUnreachable", {
  url: Schema.String,
  reason: Schema.Literals(["refused", "unresolved", "timeout", "reset", "restarted"])
}) {
  override get message() {
    return this.reason === "restarted"
      ? `The daemon at ${this.url} restarted and no longer has the job`
      : `Failed to connect to ${this.url}: ${reasonText[this.reason]}`
  }
}

/** What each reason of a failed connection is called in a sentence. */
export const reasonText = {
  refused: "connection refused",
  unresolved: "the host name could not be resolved",
  timeout: "the connection timed out",
  reset: "connection reset",
  restarted: "it restarted and no longer has the job"
} as const

/** The daemon answered with something else than the wire of design.md, section 3. */
export class PeerProtocolError extends Schema.TaggedError<PeerProtocolError>()("PeerMisspoke", {
  url: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The daemon at ${this.url} ${this.detail}`
  }
}

/** The daemon, or a proxy before it, closed the stream of a job's events before the end event. */
export class PeerHungUp extends Schema.TaggedError<PeerHungUp>()("PeerHungUp", { url: Schema.String }) {
  /** The sentence without its subject. */
  get detail() {
    return "ended the stream without an end event"
  }
  override get message() {
    return `The daemon at ${this.url} ${this.detail}`
  }
}

/** The daemon refused the request, with a status and its own error. */
export class PeerRefused extends Schema.TaggedError<PeerRefused>()("PeerRefused", {
  url: Schema.String,
  status: Schema.Int,
  code: Schema.optionalKey(Schema.String),
  detail: Schema.String
}) {
  override get message() {
    return this.detail
  }
}

/** The daemon was silent for longer than a named limit. */
export class PeerTimeout extends Schema.TaggedError<PeerTimeout>()("PeerTimeout", {
  url: Schema.String,
  limit: Schema.Literals(["submit", "silence", "first_event", "idle", "total"]),
  millis: Schema.Finite
}) {
  override get message() {
    return `${this.url} sent nothing for ${this.millis / 1000} s (timeouts.${this.limit})`
  }
}

/** Whatever may go wrong between this process and a daemon. */
export const PeerError = Schema.Union([
  PeerUnreachable,
  PeerProtocolError,
  PeerHungUp,
  PeerRefused,
  PeerTimeout
])
export type PeerError = typeof PeerError.Type
export const isPeerError = Schema.is(PeerError)
