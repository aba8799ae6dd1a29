import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import { fromScopedPull } from "../../http/fromScopedPull.ts"
import { addFinalizer } from "../../http/scopeFinalizers.ts"
import { TransientMap } from "../../http/TransientMap.ts"
import type { LoggedEvent } from "./JobEvent.ts"
import { type Batch, type Cursor, type JobLog, start } from "./JobLog.ts"

const beatEvery = 250
// A beat comes at the latest 250 ms after this, so that a reader is never left without a word for a second.
const silenceMillis = 740

/** One timer for all who wait: a timer for each follower would cost more than the events that it waits for. */
export class Ticker extends Context.Service<
  Ticker,
  {
    /** Calls the listener every 250 ms until the returned function is called. */
    readonly onTick: (listener: () => void) => () => void
  }
>()("rbee/job/log/Follower/Ticker") {
  static readonly layer = Layer.effect(
    Ticker,
    Effect.gen(function* () {
      const listeners = new TransientMap<object, () => void>()
      // A daemon that nobody follows has nothing to wake up for.
      const listened = yield* Latch.make(false)
      const beat = Effect.sync(() => {
        if (listeners.size === 0) listened.closeUnsafe()
        const waiting = Array.from(listeners.values())
        for (const listener of waiting) listener()
      })
      yield* Effect.sleep(beatEvery).pipe(
        Effect.andThen(beat),
        Effect.andThen(listened.await),
        Effect.forever,
        Effect.forkScoped
      )
      return Ticker.of({
        onTick: (listener) => {
          const key = {}
          listeners.set(key, listener)
          listened.openUnsafe()
          return () => listeners.delete(key)
        }
      })
    })
  )
}

/** One who follows a log. */
export interface Follower {
  readonly log: JobLog
  readonly pulse: Ticker["Service"]
}

/**
 * The events of a log after `after`, rendered one batch a pull, and an empty batch whenever nothing was given for most
 * of a second, until the scope closes. `render` gives undefined for events that it does not show. Done after the job's
 * end event. One at a time may pull.
 */
export const pullBatches = Effect.fnUntraced(function* <A>(
  { log, pulse }: Follower,
  after: number,
  render: (events: ReadonlyArray<LoggedEvent>) => A | undefined
) {
  const clock = yield* Clock.Clock
  let cursor: Cursor = { ...start, after }
  let ended = false
  let lastGiven = clock.currentTimeMillisUnsafe()
  let waiting: (() => void) | undefined

  const isSilent = () => clock.currentTimeMillisUnsafe() - lastGiven >= silenceMillis
  const wake = () => waiting?.()
  const leaveLog = log.onAppend(wake)
  const leavePulse = pulse.onTick(() => {
    if (waiting !== undefined && isSilent()) wake()
  })
  yield* addFinalizer(() =>
    Effect.sync(() => {
      leaveLog()
      leavePulse()
    })
  )

  const appendedOrSilent = Effect.callback<void>((resume) => {
    if (log.lastId() > cursor.after) return resume(Effect.void)
    waiting = () => {
      waiting = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => {
      waiting = undefined
    })
  })

  const give = (batch: Batch): Pull.Pull<A> => {
    cursor = batch.next
    ended = batch.ended
    if (ended && batch.events.length === 0) return Cause.done()
    if (batch.events.length === 0 && !isSilent()) return Effect.flatMap(appendedOrSilent, pull)
    const rendered = render(batch.events)
    // What is not shown is no sign of life.
    if (rendered === undefined) return Effect.suspend(pull)
    lastGiven = clock.currentTimeMillisUnsafe()
    return Effect.succeed(rendered)
  }
  const pull = (): Pull.Pull<A> => (ended ? Cause.done() : Effect.flatMap(log.read(cursor), give))
  return Effect.suspend(pull)
})

/** What `pullBatches` gives, as a stream. */
export const batches = <A>(
  follower: Follower,
  after: number,
  render: (events: ReadonlyArray<LoggedEvent>) => A | undefined
) =>
  fromScopedPull(
    Effect.map(pullBatches(follower, after, render), (pull) => Effect.map(pull, (batch) => Arr.of(batch)))
  )
