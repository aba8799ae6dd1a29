import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** The time limit of one wait. */
export interface Deadline<E> {
  /** The longest wait, in milliseconds. */
  readonly millis: number
  /** When the current wait began, on the clock; absent between two waits. */
  readonly since: () => number | undefined
  readonly error: () => E
}

/**
 * Fails with the error of the first deadline that passes. One fiber sleeps until the next deadline, instead of a timer for
 * each wait. Race it with the whole work.
 */
export const enforceDeadlines = Effect.fnUntraced(function* <E>(deadlines: ReadonlyArray<Deadline<E>>) {
  const clock = yield* Clock.Clock
  while (true) {
    const now = clock.currentTimeMillisUnsafe()
    let sleep = Number.POSITIVE_INFINITY
    for (const { error, millis, since } of deadlines) {
      // A wait may begin while this fiber sleeps.
      const left = (since() ?? now) + millis - now
      if (left <= 0) return yield* Effect.fail(error())
      sleep = Math.min(sleep, left)
    }
    yield* Effect.sleep(sleep)
  }
})
