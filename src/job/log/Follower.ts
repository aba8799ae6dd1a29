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

const tickMillis = 250
// The next tick comes at most 250 ms later, so a follower gets something at least once a second.
const silenceMillis = 740

/** One timer for all followers: a timer for each of them would cost more than the events of its job. */
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
      // Without followers the timer rests.
      const hasListeners = yield* Latch.make(false)
      const tick = Effect.sync(() => {
        if (listeners.size === 0) hasListeners.closeUnsafe()
        const waiting = Array.from(listeners.values())
        for (const listener of waiting) listener()
      })
      yield* Effect.sleep(tickMillis).pipe(
        Effect.andThen(tick),
        Effect.andThen(hasListeners.await),
        Effect.forever,
        Effect.forkScoped
      )
      return Ticker.of({
        onTick: (listener) => {
          const key = {}
          listeners.set(key, listener)
          hasListeners.openUnsafe()
          return () => listeners.delete(key)
        }
      })
    })
  )
}

/** What following a log needs. */
export interface Follower {
  readonly log: JobLog
  readonly ticker: Ticker["Service"]
}

/**
 * Pulls the events of a log after `after`, one rendered batch at a time, until the job's end event or until the scope
 * closes. When no batch was delivered for most of a second, `render` gets an empty batch. `render` returns undefined for
 * events that it does not show. At most one pull may run at a time.
 */
export const pullBatches = Effect.fnUntraced(function* <A>(
  { log, ticker }: Follower,
  after: number,
  render: (events: ReadonlyArray<LoggedEvent>) => A | undefined
) {
  const clock = yield* Clock.Clock
  let cursor: Cursor = { ...start, after }
  let ended = false
  let deliveredAt = clock.currentTimeMillisUnsafe()
  let waiting: (() => void) | undefined

  const isSilent = () => clock.currentTimeMillisUnsafe() - deliveredAt >= silenceMillis
  const wake = () => waiting?.()
  const leaveLog = log.onAppend(wake)
  const leaveTicker = ticker.onTick(() => {
    if (waiting !== undefined && isSilent()) wake()
  })
  yield* addFinalizer(() =>
    Effect.sync(() => {
      leaveLog()
      leaveTicker()
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

  const deliver = (batch: Batch): Pull.Pull<A> => {
    cursor = batch.next
    ended = batch.ended
    if (ended && batch.events.length === 0) return Cause.done()
    if (batch.events.length === 0 && !isSilent()) return Effect.flatMap(appendedOrSilent, pull)
    const rendered = render(batch.events)
    // The follower has seen nothing, so it counts as silence.
    if (rendered === undefined) return Effect.suspend(pull)
    deliveredAt = clock.currentTimeMillisUnsafe()
    return Effect.succeed(rendered)
  }
  const pull = (): Pull.Pull<A> => (ended ? Cause.done() : Effect.flatMap(log.read(cursor), deliver))
  return Effect.suspend(pull)
})

/** The batches of `pullBatches`, as a stream. */
export const batches = <A>(
  follower: Follower,
  after: number,
  render: (events: ReadonlyArray<LoggedEvent>) => A | undefined
) =>
  fromScopedPull(
    Effect.map(pullBatches(follower, after, render), (pull) => Effect.map(pull, (batch) => Arr.of(batch)))
  )
