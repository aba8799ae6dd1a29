import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { enforceDeadlines } from "../../http/deadlines.ts"
import type { Settings } from "../../settings/Settings.ts"
import { WorkerSilent } from "./errors.ts"

type Timeouts = Settings["Service"]["timeouts"]

/** How long a worker may take until the first token, in milliseconds: the longer the prompt, the longer. */
export const firstTokenTimeout = (
  { firstToken, firstTokenPer1000 }: Pick<Timeouts, "firstToken" | "firstTokenPer1000">,
  promptTokens: number
) => Duration.toMillis(firstToken) + (Duration.toMillis(firstTokenPer1000) * promptTokens) / 1000

/**
 * Fails with `WorkerSilent` when the worker has sent nothing for too long, before the first event or after the last. It
 * never returns. `lastAt` is the time of the last event, in milliseconds of the clock.
 */
export const answerDeadline = Effect.fnUntraced(function* (
  worker: string,
  timeouts: Timeouts,
  promptTokens: number,
  lastAt: () => number | undefined
) {
  const startedAt = yield* Clock.currentTimeMillis
  const deadline = (limit: WorkerSilent["limit"], millis: number, since: () => number | undefined) => ({
    millis,
    since,
    error: () => new WorkerSilent({ worker, limit, seconds: millis / 1000 })
  })
  const beforeFirst = () => (lastAt() === undefined ? startedAt : undefined)
  return yield* enforceDeadlines([
    deadline("first_token", firstTokenTimeout(timeouts, promptTokens), beforeFirst),
    deadline("between_tokens", Duration.toMillis(timeouts.betweenTokens), lastAt)
  ])
})
