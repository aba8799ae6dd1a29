import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { DownloadError } from "./errors.ts"

/** The file on the server changed during the transfer, which must start again. */
export class RemoteFileChanged extends Data.TaggedError("Changed")<{ readonly url: string }> {}

export type TransferError = RemoteFileChanged | DownloadError

const firstPause = 200
const maxPause = 10_000
const maxRetryAfter = 60_000

export const isRetryable = (error: TransferError) =>
  error._tag === "DownloadInterrupted" ||
  error._tag === "RateLimited" ||
  (error._tag === "ServerFailed" && error.status >= 500)

/** Milliseconds before the next attempt: what a rate-limited server requests, else doubled with each failure. */
export const pauseAfter = (error: TransferError, failures: number) =>
  error._tag === "RateLimited" && error.seconds !== undefined
    ? Math.min(maxRetryAfter, error.seconds * 1000)
    : Math.min(maxPause, firstPause * 2 ** (failures - 1))

/**
 * Repeats a failed attempt after a pause, up to `retries` consecutive failures. An attempt that received bytes restarts the
 * count.
 */
export const withRetries = <A, E extends TransferError, R>(
  attempt: Effect.Effect<A, E, R>,
  retries: number,
  receivedBytes: () => number
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let failures = 0
    const next: Effect.Effect<A, E, R> = Effect.suspend(() => {
      const before = receivedBytes()
      return Effect.catch(attempt, (error) => {
        failures = receivedBytes() > before ? 1 : failures + 1
        if (!isRetryable(error) || failures > retries) return Effect.fail(error)
        return Effect.andThen(Effect.sleep(pauseAfter(error, failures)), next)
      })
    })
    return next
  })
