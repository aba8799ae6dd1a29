import type * as HttpServerRequest from "effect/http/HttpServerRequest"

/**
 * The credentials of a request: that of `x-api-key`, then that of `Authorization: Bearer`, whose scheme may be written in
 * any case (RFC 9110, section 11.1).
 */
export const credentialsOf = ({
  headers: { authorization = "", "x-api-key": plain }
}: Pick<HttpServerRequest.HttpServerRequest, "headers">): ReadonlyArray<string> => {
  const [, bearer] = /^bearer +(\S+)$/i.exec(authorization) ?? []
  return [plain ?? "", bearer ?? ""].filter((given) => given !== "")
}
