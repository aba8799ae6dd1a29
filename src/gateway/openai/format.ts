import type { Format } from "../endpoint/Endpoint.ts"
import type { GatewayError } from "../endpoint/GatewayError.ts"

const typeOf = (status: number) => {
  if (status === 401) return "authentication_error"
  if (status === 403) return "permission_error"
  if (status === 429) return "rate_limit_error"
  return status >= 500 ? "server_error" : "invalid_request_error"
}

const codes: { readonly [tag: string]: string } = {
  ContextLengthExceeded: "context_length_exceeded",
  MethodNotAllowed: "method_not_supported",
  KeyLimited: "rate_limit_exceeded",
  ModelNotFound: "model_not_found",
  ModelUnknown: "model_not_found",
  Unauthorized: "invalid_api_key",
  UnknownPath: "unknown_url"
}

/** The object of an error, also used in streams. */
export const openAiError = ({ code, engine, message, param, status }: GatewayError) => ({
  message,
  type: engine?.type ?? typeOf(status),
  param: param ?? null,
  code: engine?.code ?? codes[code] ?? code
})

/** The errors of OpenAI's API. */
export const openAiFormat: Format = {
  api: "OpenAI",
  error: (failure) => ({ error: openAiError(failure) })
}
