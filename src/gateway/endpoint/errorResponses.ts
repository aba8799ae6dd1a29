import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { redact } from "../../http/Redaction.ts"
import { brokenJson } from "../../operation/brokenJson.ts"
import { type Body, type Format, InvalidRequest } from "./Endpoint.ts"
import { type GatewayError } from "./GatewayError.ts"

const invalidBody = (problem: string) => Effect.fail(new InvalidRequest({ reason: `The body ${problem}` }))

/** Parses a body as a JSON object. */
export const parse = (text: string): Effect.Effect<Body, InvalidRequest> => {
  const parsed = Result.try((): unknown => JSON.parse(text))
  if (Result.isFailure(parsed))
    return invalidBody(`is not valid JSON: ${brokenJson(text) ?? "it cannot be parsed"}`)
  return Predicate.isReadonlyObject(parsed.success)
    ? Effect.succeed(parsed.success)
    : invalidBody("must be a JSON object")
}

/** The error response in the format of an API. */
export const refuse = (
  format: Format,
  failure: GatewayError,
  headers: Readonly<Record<string, string>> = {}
) =>
  HttpServerResponse.jsonUnsafe(format.error({ ...failure, message: redact(failure.message) }), {
    status: failure.status,
    headers:
      failure.retryAfter === undefined
        ? headers
        : { ...headers, "retry-after": String(Math.ceil(failure.retryAfter)) }
  })
