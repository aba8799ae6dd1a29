import type { Format } from "../endpoint/Endpoint.ts"
import { engineErrorFields } from "../endpoint/failures.ts"
import type { GatewayError } from "../endpoint/GatewayError.ts"

const types: { readonly [status: number]: string } = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error"
}

const typeOf = (status: number) => types[status] ?? (status < 500 ? "invalid_request_error" : "api_error")

// Anthropic clients recognize this text, not a code, as the request to shorten the history.
const overflow = "prompt is too long"

const sentence = ({ code, message }: GatewayError) =>
  code === "ContextLengthExceeded" && !message.startsWith(overflow) ? `${overflow}: ${message}` : message

/**
 * The errors of Anthropic's API, also used in streams. The type is one of Anthropic's; the engine's own code is a separate
 * field.
 */
export const anthropicFormat: Format = {
  api: "Anthropic",
  error: (failure) => ({
    type: "error",
    error: { type: typeOf(failure.status), message: sentence(failure), ...engineErrorFields(failure) }
  })
}
