import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"

type Request = HttpServerRequest.HttpServerRequest

// A page sees no other headers of a response from another origin.
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

// Echoed, as clients of several vendors send headers of their own; only what can be the name of a header.
const requestedHeaders = ({ headers }: Request) =>
  (headers["access-control-request-headers"] ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter(isHeaderName)
    .slice(0, maxHeaderNames)
    .join(", ")

/** Whether a browser asks if it may send a request. Browsers send no credentials with this question. */
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
      // Chromium asks so before a page from elsewhere may reach an address of a private network.
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

/** Marks a response as one that differs by origin, so that no cache gives it to another. */
export const varyByOrigin = HttpServerResponse.setHeader(
  "vary",
  "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
)
