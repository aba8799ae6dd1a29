import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { redact } from "../../http/Redaction.ts"
import type { Format } from "./Endpoint.ts"
import { fromError, type ReportedError } from "./failures.ts"
import type { GatewayError } from "./GatewayError.ts"

/** The response for a failure, in the format of an API. */
export const failureResponse = (
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

/** The response for an error, in the format of an API. */
export const errorResponse = (
  format: Format,
  error: ReportedError,
  headers?: Readonly<Record<string, string>>
) => failureResponse(format, fromError(error), headers)
