import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { WorkerFailed } from "./errors.ts"
import { RestartPolicy } from "./RestartPolicy.ts"
import { newRun, settle, transition, type WorkerEntry } from "./WorkerEntry.ts"
import type { ProcessEvents, WorkerProcesses } from "./WorkerProcesses.ts"
import type { StoredWorker } from "./WorkerRecord.ts"

const eventsOf = (entry: WorkerEntry, clock: Clock.Clock): ProcessEvents => ({
  started: (process, engine) =>
    Effect.sync(() => {
      entry.process = process
      entry.engine = engine
    }),
  loading: (percent) =>
    Effect.sync(() => {
      entry.reason = `its model is loaded to ${percent}%`
    }),
  ready: () =>
    Effect.suspend(() => {
      entry.wasReady = true
      entry.usedAt = clock.currentTimeMillisUnsafe()
      return Effect.andThen(
        transition(entry, "answered", undefined),
        Deferred.succeed(entry.run.ready, undefined)
      )
    })
})

/**
 * Runs a worker's process, at first the adopted one if there is one, and restarts it when it ends. Returns after `giveUp`:
 * the first start has failed, or the restart policy allows no further restart. An interrupt ends the process.
 */
export const keepRunning = Effect.fnUntraced(function* (
  entry: WorkerEntry,
  processes: WorkerProcesses["Service"],
  adopted: StoredWorker | undefined,
  giveUp: (failure: WorkerFailed, reason: string) => Effect.Effect<void>
) {
  const clock = yield* Clock.Clock
  const policy = new RestartPolicy()
  let readyAt: number | undefined
  const { ready, ...rest } = eventsOf(entry, clock)
  const events: ProcessEvents = {
    ...rest,
    ready: (process) =>
      Effect.suspend(() => {
        readyAt = clock.currentTimeMillisUnsafe()
        return ready(process)
      })
  }
  let process = adopted === undefined ? processes.run(entry.spec, events) : processes.adopt(adopted, events)
  while (true) {
    const failure = yield* Effect.catch(process, (error) => Effect.succeed(error))
    if (readyAt === undefined) return yield* giveUp(failure, failure.reason)
    const uptime = entry.state === "ready" ? clock.currentTimeMillisUnsafe() - readyAt : 0
    const delay = policy.nextDelay(uptime)
    const { crashes, maxRestarts } = policy
    yield* Effect.logWarning("worker exited", { worker: entry.spec.id, reason: failure.message, crashes })
    if (delay === undefined) {
      return yield* giveUp(failure, `${failure.reason}; it was restarted ${maxRestarts} times`)
    }
    if (entry.state === "ready") {
      yield* settle(entry, failure)
      entry.run = newRun()
    }
    entry.process = undefined
    yield* transition(entry, "crashed", `${failure.reason}; restart ${crashes} of ${maxRestarts}`)
    yield* Effect.sleep(delay)
    process = processes.run(entry.spec, events)
  }
})
