import * as Effect from "effect/Effect"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Schema from "effect/Schema"
import type { UndecodableBody, UnsupportedCoding } from "../http/contentCoding.ts"
import type { BodyTimeout, BodyTooDeep, BodyTooLarge } from "../http/readBody.ts"
import { redact } from "../http/Redaction.ts"
import type { IdempotencyConflict, JobEnded, JobNotFound, TooManyJobs } from "../job/errors.ts"
import type { InvalidOperation, UnknownOperation, WrongDaemon } from "../operation/errors.ts"

/** Whatever a JSON endpoint of a daemon may fail with. */
export type EndpointError =
  | BodyTimeout
  | BodyTooDeep
  | BodyTooLarge
  | HttpServerError.HttpServerError
  | IdempotencyConflict
  | InvalidOperation
  | JobEnded
  | JobNotFound
  | TooManyJobs
  | UndecodableBody
  | UnknownOperation
  | UnsupportedCoding
  | WrongDaemon

const statusOf = {
  BodyTimeout: 408,
  BodyTooDeep: 400,
  BodyTooLarge: 413,
  IdempotencyConflict: 422,
  InvalidOperation: 400,
  JobEnded: 409,
  JobNotFound: 404,
  TooManyJobs: 503,
  UndecodableBody: 400,
  UnknownOperation: 400,
  UnsupportedCoding: 415,
  WrongDaemon: 400
} as const

const unavailable = 503
const retryAfterSeconds = 2

/** An error in the one form that all JSON endpoints have: `{"error":{"code","message","details"?}}`. */
export const jsonError = (status: number, code: string, message: string, details?: Schema.Json) =>
  HttpServerResponse.jsonUnsafe(
    { error: { code, message: redact(message), details } },
    status === unavailable ? { status, headers: { "retry-after": String(retryAfterSeconds) } } : { status }
  )

/** The response where there is no endpoint. */
export const notFound = jsonError(404, "NotFound", "Not found; GET /openapi.json lists all paths")

/** The answer to an error, with its status. */
export const errorResponse = (error: EndpointError) => {
  if (error._tag !== "HttpServerError") {
    const details =
      error._tag === "InvalidOperation" ? error.problems.map((problem) => ({ ...problem })) : undefined
    return Effect.succeed(jsonError(statusOf[error._tag], error._tag, error.message, details))
  }
  return Effect.succeed(
    jsonError(400, "InvalidRequest", "The request could not be read; send a JSON body in UTF-8")
  )
}
