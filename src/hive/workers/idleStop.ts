import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { WorkerEntry } from "./WorkerEntry.ts"
import type { WorkerSupervisor } from "./WorkerSupervisor.ts"

const maxPollInterval = 10_000

/** Whether the worker has had no request for so many milliseconds. */
export const isIdle = ({ requests, state, usedAt, waiters }: WorkerEntry, now: number, millis: number) =>
  state === "ready" && requests === 0 && waiters === 0 && now - usedAt >= millis

/** Stops the workers that had no request for the given time, until the scope closes. */
export const stopIdleWorkers = Effect.fnUntraced(function* (
  supervisor: WorkerSupervisor["Service"],
  idleTime: Duration.Duration
) {
  if (!Duration.isFinite(idleTime)) return
  const millis = Duration.toMillis(idleTime)
  const reason = `it had no request for ${Duration.format(idleTime)} (workers.idle_stop)`
  const stopIdle = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.forEach(
      [...supervisor.entries.values()].filter((entry) => isIdle(entry, now, millis)),
      (entry) => supervisor.end(entry, reason),
      { concurrency: "unbounded", discard: true }
    )
  )
  const pollInterval = Math.min(millis / 4, maxPollInterval)
  yield* stopIdle.pipe(Effect.delay(pollInterval), Effect.forever, Effect.forkScoped)
})
