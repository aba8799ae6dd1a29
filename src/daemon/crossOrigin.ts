import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"

type Request = HttpServerRequest.HttpServerRequest

// A browser hides all other headers of a cross-origin response from the page.
const exposedHeaders = [
  "x-rbee-job-id",
  "x-rbee-hive",
  "x-rbee-worker",
  "x-rbee-queue-ms",
  "x-rbee-load-ms",
  "retry-after"
].join(", ")

const allowedMethods = "GET, HEAD, POST, DELETE"
const preflightSeconds = 600
const maxHeaderNames = 64

const isHeaderName = (name: string) => /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/.test(name)

// Echoed, because the vendors' clients send custom headers; restricted to valid header names.
const requestedHeaders = ({ headers }: Request) =>
  (headers["access-control-request-headers"] ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter(isHeaderName)
    .slice(0, maxHeaderNames)
    .join(", ")

/** Whether the request is a CORS preflight. Browsers send no credentials with it. */
export const isPreflight = ({ headers, method }: Request) =>
  method === "OPTIONS" && headers["access-control-request-method"] !== undefined

/** The response to a preflight request of an allowed origin: 204. */
export const preflightResponse = (request: Request) => {
  const names = requestedHeaders(request)
  return HttpServerResponse.empty({
    status: 204,
    headers: {
      "access-control-allow-methods": allowedMethods,
      ...(names === "" ? {} : { "access-control-allow-headers": names }),
      // Chromium sends this header before a public page may access a private network address.
      ...(request.headers["access-control-request-private-network"] === "true"
        ? { "access-control-allow-private-network": "true" }
        : {}),
      "access-control-max-age": String(preflightSeconds)
    }
  })
}

/** Lets a page of the origin read the response. */
export const allowOrigin = (response: HttpServerResponse.HttpServerResponse, origin: string) =>
  HttpServerResponse.setHeaders(response, {
    "access-control-allow-origin": origin,
    "access-control-expose-headers": exposedHeaders
  })

/** Marks a response as dependent on the origin, so that no cache serves it to another origin. */
export const varyByOrigin = HttpServerResponse.setHeader(
  "vary",
  "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
)
