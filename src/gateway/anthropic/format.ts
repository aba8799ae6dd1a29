import type { Format } from "../endpoint/Endpoint.ts"
import { engineWords } from "../endpoint/failures.ts"
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

// Clients of Anthropic's API know by these words, and not by a code, that they have to shorten the history.
const overflow = "prompt is too long"

const sentence = ({ code, message }: GatewayError) =>
  code === "ContextLengthExceeded" && !message.startsWith(overflow) ? `${overflow}: ${message}` : message

/**
 * The errors of Anthropic's API, as they also stand in streams. The type is one of Anthropic's; an engine's own code
 * stands beside it.
 */
export const anthropicFormat: Format = {
  api: "Anthropic",
  error: (failure) => ({
    type: "error",
    error: { type: typeOf(failure.status), message: sentence(failure), ...engineWords(failure) }
  })
}
