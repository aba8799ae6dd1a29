import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"
import type { SettingValues } from "../config/Settings.ts"

/** The body is larger than this daemon takes. */
export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()("BodyTooLarge", {}) {
  override get message() {
    return "The body is larger than this daemon takes (limits.body_bytes)"
  }
}

/** The body was not there in time. */
export class BodyTimeout extends Schema.TaggedError<BodyTimeout>()("BodyTimeout", {}) {
  override get message() {
    return "The body did not arrive in time (timeouts.submit)"
  }
}

/** The body of the request at hand, as text, within the limits of the settings. */
export const requestText = Effect.fnUntraced(function* ({
  limits,
  timeouts
}: Pick<SettingValues, "limits" | "timeouts">) {
  const request = yield* HttpServerRequest.HttpServerRequest
  if (Number(request.headers["content-length"] ?? 0) > limits.bodyBytes) return yield* new BodyTooLarge()
  return yield* request.text.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(limits.bodyBytes)),
    Effect.catchTag("HttpServerError", (error) =>
      Effect.fail(
        error.reason._tag === "RequestParseError" && error.reason.reason === "BodyTooLarge"
          ? new BodyTooLarge()
          : error
      )
    ),
    Effect.timeoutOrElse({ duration: timeouts.submit, orElse: () => Effect.fail(new BodyTimeout()) })
  )
})
