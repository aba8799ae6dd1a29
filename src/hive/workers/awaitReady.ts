import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Narrate } from "../../job/withNarration.ts"
import type { WorkerEntry } from "./WorkerEntry.ts"

/** Makes an effect interruptible again inside of an uninterruptible region. */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const progressInterval = "1 second"

/** Narrates why the worker is not ready yet (loading progress, a restart) whenever the reason changes. */
const narrateReasons = Effect.fnUntraced(function* (entry: WorkerEntry, narrate: Narrate) {
  let narrated: string | undefined
  while (true) {
    const { reason, spec } = entry
    if (reason !== undefined && reason !== narrated) {
      yield* narrate("worker_wait", `Worker ${spec.id} is starting: ${reason}`)
    }
    narrated = reason
    yield* Effect.sleep(progressInterval)
  }
})

/**
 * Gets a worker and waits until it is ready. `announce` runs only when there is something to wait for. Apart from what
 * `get` restores, only the wait is interruptible; `abandon` runs then, so that no start is left without a waiter.
 */
export const awaitReady = <E>(options: {
  readonly get: (restore: Restore) => Effect.Effect<WorkerEntry, E>
  readonly announce: (entry: WorkerEntry) => Effect.Effect<void>
  readonly abandon: (entry: WorkerEntry) => Effect.Effect<void>
  readonly narrate: Narrate
}) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(options.get(restore), (entry) => {
      if (entry.state === "ready") return Effect.succeed(entry)
      entry.waiters++
      const leave = Effect.sync(() => {
        entry.waiters--
      })
      const ready = Effect.suspend(() => Deferred.await(entry.run.ready))
      const waiting = Effect.raceFirst(ready, narrateReasons(entry, options.narrate))
      return restore(Effect.andThen(options.announce(entry), waiting)).pipe(
        Effect.ensuring(leave),
        Effect.onInterrupt(() => options.abandon(entry)),
        Effect.as(entry)
      )
    })
  )
