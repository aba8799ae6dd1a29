import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** A wait that has an end. */
export interface Deadline<E> {
  readonly millis: number
  /** When the wait began; nothing while nobody waits. */
  readonly since: () => number | undefined
  readonly error: () => E
}

/**
 * Fails with the error of the first bound that is overstepped. One fiber that looks at the clock, instead of a timer
 * around the wait for each event.
 */
export const enforceDeadlines = Effect.fnUntraced(function* <E>(bounds: ReadonlyArray<Deadline<E>>) {
  const clock = yield* Clock.Clock
  while (true) {
    const now = clock.currentTimeMillisUnsafe()
    let sleep = Number.POSITIVE_INFINITY
    for (const { error, millis, since } of bounds) {
      // A wait that has not begun may begin in the meantime.
      const left = (since() ?? now) + millis - now
      if (left <= 0) return yield* Effect.fail(error())
      sleep = Math.min(sleep, left)
    }
    yield* Effect.sleep(sleep)
  }
})
