import * as Effect from "effect/Effect"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { BadRequest, Busy, ContextLengthExceeded, GenerationFailed, ModelNotServed } from "./errors.ts"

type RequestError =
  | BadRequest
  | Busy
  | ContextLengthExceeded
  | GenerationFailed
  | HttpServerError.HttpServerError
  | ModelNotServed

/** An error body in OpenAI's format. */
export const openAiError = (
  status: number,
  message: string,
  type: string,
  code: string,
  param: string | null = null
) => HttpServerResponse.jsonUnsafe({ error: { message, type, param, code } }, { status })

const invalid = "invalid_request_error"

export const notFound = (message: string) => openAiError(404, message, invalid, "not_found")

export const unknownRequest = (id: string) => notFound(`Request '${id.slice(0, 128)}' not found`)

/** The HTTP response to an error. */
export const errorResponse = (error: RequestError) => Effect.succeed(toResponse(error))

const toResponse = (error: RequestError) => {
  switch (error._tag) {
    case "BadRequest":
      return openAiError(400, error.message, invalid, error.code, error.param ?? null)
    case "ContextLengthExceeded":
      return openAiError(400, error.message, invalid, "context_length_exceeded", "prompt")
    case "ModelNotServed":
      return openAiError(404, error.message, invalid, "model_not_found", "model")
    case "Busy":
      return HttpServerResponse.setHeader(
        openAiError(503, error.message, "server_error", "busy"),
        "retry-after",
        "1"
      )
    case "GenerationFailed":
      return openAiError(500, error.message, "server_error", "engine_failed")
    case "HttpServerError":
      return error.reason._tag === "RequestParseError" && error.reason.reason === "BodyTooLarge"
        ? openAiError(413, "The body is larger than 16 MB", invalid, "body_too_large")
        : openAiError(400, "The request could not be read", invalid, "invalid_request")
  }
}
