import type * as HttpServerRequest from "effect/http/HttpServerRequest"

/**
 * The credentials of a request: first that of `x-api-key`, then that of `Authorization: Bearer`. The scheme is
 * case-insensitive (RFC 9110, section 11.1).
 */
export const credentialsOf = ({
  headers: { authorization = "", "x-api-key": apiKey = "" }
}: Pick<HttpServerRequest.HttpServerRequest, "headers">): ReadonlyArray<string> => {
  const [, bearer = ""] = /^bearer +(\S+)$/i.exec(authorization) ?? []
  return [apiKey, bearer].filter((value) => value !== "")
}
