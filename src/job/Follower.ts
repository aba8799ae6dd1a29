import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { LoggedEvent } from "./JobEvent.ts"
import { type Cursor, type JobLog, start } from "./JobLog.ts"

const beatEvery = 250
// A beat comes at the latest 250 ms after this, so that a reader is never left without a word for a second.
const silenceMillis = 740

/** One timer for all who wait: a timer for each follower would cost more than the events that it waits for. */
export class Pulse extends Context.Service<
  Pulse,
  {
    /** Calls the listener every 250 ms until the returned function is called. */
    readonly onBeat: (listener: () => void) => () => void
  }
>()("rbee/job/Follower/Pulse") {
  static readonly layer = Layer.effect(
    Pulse,
    Effect.gen(function* () {
      const listeners = new Set<() => void>()
      const beat = Effect.sync(() => {
        const waiting = Array.from(listeners)
        for (const listener of waiting) listener()
      })
      yield* beat.pipe(Effect.delay(beatEvery), Effect.forever, Effect.forkScoped)
      return Pulse.of({
        onBeat: (listener) => {
          listeners.add(listener)
          return () => listeners.delete(listener)
        }
      })
    })
  )
}

/**
 * The events of a log after `after`, one batch a pull, and an empty batch whenever there was nothing for most of a
 * second. Ends after the job's end event.
 */
export const batches = (
  log: JobLog,
  after: number
): Stream.Stream<ReadonlyArray<LoggedEvent>, never, Pulse> =>
  Stream.fromPull(
    Effect.gen(function* () {
      const pulse = yield* Pulse
      const clock = yield* Clock.Clock
      let cursor: Cursor = { ...start, after }
      let ended = false
      let lastGiven = clock.currentTimeMillisUnsafe()

      const silence = () => clock.currentTimeMillisUnsafe() - lastGiven >= silenceMillis

      const appendedOrSilent = Effect.callback<void>((resume) => {
        if (log.lastId() > cursor.after) return resume(Effect.void)
        const wake = () => {
          leaveLog()
          leavePulse()
          resume(Effect.void)
        }
        const leaveLog = log.onAppend(wake)
        const leavePulse = pulse.onBeat(() => {
          if (silence()) wake()
        })
        return Effect.sync(() => {
          leaveLog()
          leavePulse()
        })
      })

      const next = Effect.suspend(() => (ended ? Cause.done() : log.read(cursor))).pipe(
        Effect.map((batch) => {
          cursor = batch.next
          ended = batch.ended
          return batch.events
        })
      )

      return Effect.suspend(function pull(): Pull.Pull<readonly [ReadonlyArray<LoggedEvent>]> {
        return Effect.flatMap(next, (events) => {
          if (events.length === 0 && !ended && !silence()) return Effect.flatMap(appendedOrSilent, pull)
          lastGiven = clock.currentTimeMillisUnsafe()
          return Effect.succeed([events] as const)
        })
      })
    })
  )
