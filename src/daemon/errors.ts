import * as Schema from "effect/Schema"

/** No endpoint matches the path and method of the request. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}, { httpApiStatus: 404 }) {
  override get message() {
    return "Not found; GET /openapi.json lists all paths"
  }
}

/** The `Host` or the `Origin` of the request is not allowed. */
export class Forbidden extends Schema.TaggedError<Forbidden>()(
  "Forbidden",
  { header: Schema.Literals(["Host", "Origin"]), value: Schema.String },
  { httpApiStatus: 403 }
) {
  override get message() {
    const setting = `allowed_${this.header.toLowerCase()}s`
    return `The ${this.header} '${this.value.slice(0, 200)}' is not allowed; to allow it, add it to ${setting} in config.toml`
  }
}

/** The credential of the request is missing, or it is not a credential of this daemon. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()(
  "Unauthorized",
  { wasGiven: Schema.Boolean, wanted: Schema.Literals(["key", "token"]) },
  { httpApiStatus: 401 }
) {
  override get message() {
    const isKey = this.wanted === "key"
    const wanted = isKey
      ? "'Authorization: Bearer <key>' or x-api-key; create a key with 'rbee key create'"
      : "'Authorization: Bearer <token>' (the CLI reads RBEE_TOKEN or --token-file)"
    const problem = this.wasGiven
      ? `The ${isKey ? "API key is unknown or revoked" : "token is not the token of this daemon"}: send`
      : `${isKey ? "API key" : "Authentication"} required: send`
    return `${problem} ${wanted}`
  }
  get headers() {
    return {
      "www-authenticate": this.wasGiven ? 'Bearer realm="rbee", error="invalid_token"' : 'Bearer realm="rbee"'
    }
  }
}

/** The request has an API key, but the endpoint requires the daemon token. */
export class KeyForbidden extends Schema.TaggedError<KeyForbidden>()(
  "KeyForbidden",
  { key: Schema.String },
  { httpApiStatus: 403 }
) {
  override get message() {
    return `API key '${this.key}' gives access to the application endpoints only; this one requires the daemon token`
  }
}

/** The file of the API keys cannot be read. */
export class ApiKeysUnreadable extends Schema.TaggedError<ApiKeysUnreadable>()(
  "ApiKeysUnreadable",
  {},
  { httpApiStatus: 503 }
) {
  override get message() {
    return "The API keys cannot be read at the moment; see the log of the daemon, and retry later"
  }
}

/** The `Idempotency-Key` of the request is invalid. */
export class InvalidIdempotencyKey extends Schema.TaggedError<InvalidIdempotencyKey>()(
  "InvalidIdempotencyKey",
  {},
  { httpApiStatus: 400 }
) {
  override get message() {
    return "Idempotency-Key must be 1 to 255 visible ASCII characters"
  }
}

/** The event number from which a follower continues is invalid. */
export class InvalidEventId extends Schema.TaggedError<InvalidEventId>()(
  "InvalidEventId",
  {},
  { httpApiStatus: 400 }
) {
  override get message() {
    return "Last-Event-ID and ?after= must be the number of an event"
  }
}

/** The body of a heartbeat is not a heartbeat. */
export class InvalidHeartbeat extends Schema.TaggedError<InvalidHeartbeat>()(
  "InvalidHeartbeat",
  { reason: Schema.String },
  { httpApiStatus: 400 }
) {
  override get message() {
    return `Invalid heartbeat: ${this.reason}`
  }
}
