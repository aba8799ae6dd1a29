import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"
import { isTooDeep, maxDepth } from "../operation/nesting.ts"
import type { SettingValues } from "../settings/Settings.ts"
import { checkCodings, codingsOf, decodeBody, UndecodableBody, UnsupportedCoding } from "./contentCoding.ts"

/** The body is larger than this daemon accepts. */
export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()(
  "BodyTooLarge",
  {},
  { httpApiStatus: 413 }
) {
  override get message() {
    return "The body is larger than this daemon takes (limits.body_bytes)"
  }
}

/** The body did not arrive in time. */
export class BodyTimeout extends Schema.TaggedError<BodyTimeout>()(
  "BodyTimeout",
  {},
  { httpApiStatus: 408 }
) {
  override get message() {
    return "The body did not arrive in time (timeouts.submit)"
  }
}

/** The lists and objects of the body are nested too deeply. */
export class BodyTooDeep extends Schema.TaggedError<BodyTooDeep>()(
  "BodyTooDeep",
  {},
  { httpApiStatus: 400 }
) {
  override get message() {
    return `The body is nested deeper than ${maxDepth} lists and objects`
  }
}

/** The body could not be read. */
export class UnreadableBody extends Schema.TaggedError<UnreadableBody>()(
  "InvalidRequest",
  {},
  { httpApiStatus: 400 }
) {
  override get message() {
    return "The request could not be read; send a JSON body in UTF-8"
  }
}

/** The errors of reading a body. */
export const BodyErrors = [
  BodyTimeout,
  BodyTooDeep,
  BodyTooLarge,
  UndecodableBody,
  UnreadableBody,
  UnsupportedCoding
] as const

const utf8 = new TextDecoder()

const decodedText = Effect.fnUntraced(function* (
  request: HttpServerRequest.HttpServerRequest,
  codings: ReadonlyArray<string>,
  limit: number
) {
  yield* checkCodings(codings)
  const encoded = new Uint8Array(yield* request.arrayBuffer)
  const bytes = yield* decodeBody(codings, encoded, limit).pipe(
    Effect.catchTag("DecodedTooLarge", () => Effect.fail(new BodyTooLarge()))
  )
  return utf8.decode(bytes)
})

/**
 * Reads the body of the current request as text, within the limits of the settings. `limits.body_bytes` applies to the body
 * as sent and as decoded; a compressed body is decoded by its `Content-Encoding`.
 */
export const requestText = Effect.fnUntraced(function* ({
  limits,
  timeouts
}: Pick<SettingValues, "limits" | "timeouts">) {
  const request = yield* HttpServerRequest.HttpServerRequest
  if (Number(request.headers["content-length"] ?? 0) > limits.bodyBytes) return yield* new BodyTooLarge()
  const codings = codingsOf(request.headers["content-encoding"])
  const text = codings.length === 0 ? request.text : decodedText(request, codings, limits.bodyBytes)
  return yield* text.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(limits.bodyBytes)),
    Effect.catchTag("HttpServerError", (error) =>
      Effect.fail(
        error.reason._tag === "RequestParseError" && error.reason.reason === "BodyTooLarge"
          ? new BodyTooLarge()
          : new UnreadableBody()
      )
    ),
    Effect.timeoutOrElse({ duration: timeouts.submit, orElse: () => Effect.fail(new BodyTimeout()) }),
    Effect.flatMap((body) => (isTooDeep(body) ? Effect.fail(new BodyTooDeep()) : Effect.succeed(body)))
  )
})
