import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

const maxSilence = Duration.seconds(5)
const maxDuration = Duration.seconds(30)
const checkInterval = Duration.seconds(1)

/**
 * Returns when a worker that is to stop a request is not waited for any longer, with the reason: it has not answered its
 * health check for 5 s, or has not confirmed the stop within 30 s. A healthy worker needs that time to finish a batch: no
 * engine interrupts one, and 256 tokens of a large model take a slow machine more than 5 s.
 */
export const stopDeadline = Effect.fnUntraced(function* (isHealthy: Effect.Effect<boolean>) {
  const startedAt = yield* Clock.currentTimeMillis
  let healthyAt = startedAt
  const check = Effect.flatMap(isHealthy, (healthy) =>
    healthy
      ? Effect.map(Clock.currentTimeMillis, (now) => {
          healthyAt = now
        })
      : Effect.void
  )
  // Most workers confirm before the first check.
  yield* Effect.sleep(checkInterval)
  while (true) {
    yield* Effect.all([check, Effect.sleep(checkInterval)], { concurrency: 2, discard: true })
    const now = yield* Clock.currentTimeMillis
    if (now - healthyAt >= Duration.toMillis(maxSilence)) {
      return `it has not answered its health check for ${Duration.toSeconds(maxSilence)} s after a request was cancelled`
    }
    if (now - startedAt >= Duration.toMillis(maxDuration)) {
      return `it did not confirm within ${Duration.toSeconds(maxDuration)} s that it stopped a request`
    }
  }
})
