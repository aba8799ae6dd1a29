import type { Format } from "../Door.ts"

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

/** The errors of Anthropic's API, as they also stand in streams. */
export const anthropicFormat: Format = {
  api: "Anthropic",
  error: ({ message, status }) => ({ type: "error", error: { type: typeOf(status), message } })
}
