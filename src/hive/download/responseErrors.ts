import type { HttpClientError } from "effect/http/HttpClientError"
import { causeCode } from "../../settings/systemProblem.ts"
import {
  DownloadInterrupted,
  DownloadNotFound,
  DownloadUnauthorized,
  PrivateAddress,
  RateLimited,
  ServerFailed,
  withoutQuery
} from "./errors.ts"
import { privateAddressCode } from "./PrivateAddress.ts"

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "the host name could not be resolved",
  EAI_AGAIN: "the host name could not be resolved",
  ECONNRESET: "connection reset",
  UND_ERR_SOCKET: "the connection was closed",
  UND_ERR_CONNECT_TIMEOUT: "the connection timed out",
  ETIMEDOUT: "the connection timed out"
}

// undici reports a tunnel that the proxy rejected by a message only.
const proxyStatus = (cause: unknown) =>
  cause instanceof Error ? /^Proxy response \((\d{3})\)/.exec(cause.message)?.[1] : undefined

/** The error of a connection that failed or broke. */
export const connectionError = (url: string, proxy: string | undefined) => (error: HttpClientError) => {
  const { cause } = error.reason
  const code = causeCode(cause)
  if (code === privateAddressCode) {
    return new PrivateAddress({ url: withoutQuery(url), host: new URL(url).hostname })
  }
  const status = proxyStatus(cause)
  const problem =
    status === undefined
      ? (reasons[code ?? ""] ?? code ?? (cause instanceof Error ? cause.message : "no connection"))
      : `the proxy answered ${status}`
  const reason = proxy === undefined ? problem : `${problem} (through the proxy ${proxy})`
  return new DownloadInterrupted({ url: withoutQuery(url), reason })
}

/** The seconds of a `Retry-After` header, which is a number or a date. */
export const secondsOf = (retryAfter: string | undefined, now: number) => {
  if (retryAfter === undefined) return undefined
  if (/^\d{1,6}$/.test(retryAfter)) return Number(retryAfter)
  const date = Date.parse(retryAfter)
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000))
}

/** The error of a response without a usable status. `now` is in milliseconds. */
export const statusError = (
  url: string,
  {
    headers,
    status
  }: { readonly status: number; readonly headers: Readonly<Record<string, string | undefined>> },
  now: number
) => {
  const sanitized = withoutQuery(url)
  switch (status) {
    case 401:
    case 403:
      return new DownloadUnauthorized({ url: sanitized, status })
    case 404:
    case 410:
      return new DownloadNotFound({ url: sanitized })
    case 429:
      return new RateLimited({ url: sanitized, seconds: secondsOf(headers["retry-after"], now) })
    default:
      return new ServerFailed({ url: sanitized, status })
  }
}

/** The error of a server that sent nothing for `timeouts.download`. */
export const silenceError = (url: string, silenceMillis: number) =>
  new DownloadInterrupted({
    url: withoutQuery(url),
    reason: `nothing arrived for ${silenceMillis / 1000} s (timeouts.download)`
  })
