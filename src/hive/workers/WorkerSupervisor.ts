import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Semaphore from "effect/Semaphore"
import type { Device } from "../devices/Devices.ts"
import type { Engine } from "../engines/Engine.ts"
import type { WorkerSpec } from "../engines/WorkerSpec.ts"
import { WorkerFailed } from "./errors.ts"
import { type ProcessEvents, WorkerProcesses } from "./WorkerProcesses.ts"
import type { StoredWorker, WorkerProcess, WorkerRecord } from "./WorkerRecord.ts"
import { type LastingState, next, type WorkerEvent } from "./workerStates.ts"
import { WorkerStore } from "./WorkerStore.ts"

/** From the start of a worker's process to its end. */
export interface ProcessRun {
  readonly ready: Deferred.Deferred<void, WorkerFailed>
  readonly gone: Deferred.Deferred<WorkerFailed>
}

/** A worker of this hive, as it is now. */
export interface WorkerEntry {
  readonly spec: WorkerSpec
  /** Lets one stop or restart at a time. */
  readonly turn: Semaphore.Semaphore
  state: LastingState
  run: ProcessRun
  process: WorkerProcess | undefined
  /** What runs the process. */
  engine: Engine | undefined
  reason: string | undefined
  /** It was ready at least once; until then it is forgotten when its start fails or nobody waits for it. */
  proven: boolean
  waiters: number
  requests: number
  /** The most answers that the engine writes at once for them; a request may ask for several. */
  answers: number
  /** When it last had a request, or became ready: milliseconds of the clock. */
  usedAt: number
  fiber: Fiber.Fiber<void> | undefined
}

/** The workers of this hive by their id. */
export type Entries = Map<string, WorkerEntry>

const newRun = (): ProcessRun => ({ ready: Deferred.makeUnsafe(), gone: Deferred.makeUnsafe() })

const newEntry = (spec: WorkerSpec): WorkerEntry => ({
  spec,
  turn: Semaphore.makeUnsafe(1),
  state: "starting",
  run: newRun(),
  process: undefined,
  engine: undefined,
  reason: undefined,
  proven: false,
  waiters: 0,
  requests: 0,
  answers: 0,
  usedAt: 0,
  fiber: undefined
})

/** The worker as the wire shows it. */
export const recordOf = ({ process, reason, requests, spec, state }: WorkerEntry): WorkerRecord => ({
  id: spec.id,
  model: spec.model,
  state: state === "ready" && requests > 0 ? "busy" : state,
  worker: spec.worker,
  device: spec.device,
  ...(process === undefined ? {} : { pid: process.pid, port: process.port }),
  ...(reason === undefined ? {} : { reason })
})

const maxRestarts = 3
const firstPause = 500
const maxPause = 8000
const steadyAfter = 60_000
const freedIsLate = 10_000

/**
 * Makes what runs the lives of the workers in a map: a process that ends is followed by another after a pause, three
 * times in a row; one that was ready for a minute starts the count anew.
 */
export const make = Effect.fnUntraced(function* (entries: Entries) {
  const processes = yield* WorkerProcesses
  const store = yield* WorkerStore
  const clock = yield* Clock.Clock
  const freed = new Map<string, number>()

  // The one place where a worker's state changes, by the worker's own fiber or by the one that has its turn.
  const move = (entry: WorkerEntry, event: WorkerEvent, reason: string | undefined) =>
    Effect.suspend(() => {
      const from = entry.state
      entry.state = next(from, event)
      entry.reason = reason
      if (entry.state === from) return Effect.void
      return Effect.logInfo("worker", {
        worker: entry.spec.id,
        from,
        to: entry.state,
        reason: reason ?? event
      })
    })

  const forget = (entry: WorkerEntry) =>
    Effect.suspend(() => {
      if (entries.get(entry.spec.id) === entry) entries.delete(entry.spec.id)
      return Effect.andThen(store.remove(entry.spec.id), store.removeLog(entry.spec.id))
    })

  // Whoever waits for the worker, or reads from it, learns how it ended.
  const settle = (entry: WorkerEntry, failure: WorkerFailed) => {
    entry.process = undefined
    return Effect.andThen(Deferred.fail(entry.run.ready, failure), Deferred.succeed(entry.run.gone, failure))
  }

  const giveUp = Effect.fnUntraced(function* (entry: WorkerEntry, failure: WorkerFailed, reason: string) {
    yield* move(entry, "gave_up", reason)
    yield* entry.proven ? store.remove(entry.spec.id) : forget(entry)
    yield* settle(entry, failure)
  })

  const live = (
    entry: WorkerEntry,
    first: (events: ProcessEvents) => Effect.Effect<WorkerFailed, WorkerFailed>
  ) =>
    Effect.gen(function* () {
      let readyAt: number | undefined
      let crashes = 0
      const events: ProcessEvents = {
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
            entry.proven = true
            readyAt = clock.currentTimeMillisUnsafe()
            entry.usedAt = readyAt
            return Effect.andThen(
              move(entry, "answered", undefined),
              Deferred.succeed(entry.run.ready, undefined)
            )
          })
      }
      let process = first(events)
      while (true) {
        const failure = yield* Effect.catch(process, (error) => Effect.succeed(error))
        if (readyAt === undefined) return yield* giveUp(entry, failure, failure.reason)
        const wasSteady = entry.state === "ready" && clock.currentTimeMillisUnsafe() - readyAt > steadyAfter
        crashes = wasSteady ? 1 : crashes + 1
        yield* Effect.logWarning("worker ended", { worker: entry.spec.id, reason: failure.message, crashes })
        if (crashes > maxRestarts) {
          return yield* giveUp(entry, failure, `${failure.reason}; it was restarted ${maxRestarts} times`)
        }
        if (entry.state === "ready") {
          yield* settle(entry, failure)
          entry.run = newRun()
        }
        entry.process = undefined
        yield* move(entry, "crashed", `${failure.reason}; restart ${crashes} of ${maxRestarts}`)
        yield* Effect.sleep(Math.min(maxPause, firstPause * 2 ** (crashes - 1)))
        process = processes.run(entry.spec, events)
      }
    })

  // Detached, because the scope would end its fibers one after the other; `halt` ends each.
  const start = Effect.fnUntraced(function* (entry: WorkerEntry, adopted?: StoredWorker) {
    entry.fiber = yield* Effect.forkDetach(
      live(entry, (events) =>
        adopted === undefined ? processes.run(entry.spec, events) : processes.adopt(adopted, events)
      )
    )
  })

  const halt = Effect.fnUntraced(function* (entry: WorkerEntry, reason: string) {
    yield* move(entry, "stop", reason)
    if (entry.fiber !== undefined) yield* Fiber.interrupt(entry.fiber)
    const { backend, device, id, model } = entry.spec
    freed.set(`${backend}-${device}`, clock.currentTimeMillisUnsafe())
    yield* move(entry, "ended", reason)
    yield* settle(entry, new WorkerFailed({ worker: id, model, reason, lastLines: [], killed: true }))
  })

  return {
    /** Whether memory of the device was given back a moment ago, and may not be seen as free yet. */
    freedLately: ({ backend, index }: Device) =>
      clock.currentTimeMillisUnsafe() - (freed.get(`${backend}-${index}`) ?? Number.NEGATIVE_INFINITY) <
      freedIsLate,
    /** Enters a worker and starts its life, with the process that an earlier hive left if there is one. */
    begin: Effect.fnUntraced(function* (spec: WorkerSpec, adopted?: StoredWorker) {
      const entry = newEntry(spec)
      entries.set(spec.id, entry)
      yield* start(entry, adopted)
      return entry
    }, Effect.uninterruptible),
    /** Returns when the process has ended and the worker is forgotten. */
    end: (entry: WorkerEntry, reason: string) =>
      Effect.uninterruptible(entry.turn.withPermit(Effect.andThen(halt(entry, reason), forget(entry)))),
    /** Ends the process and starts another, if the worker was not stopped in the meantime. */
    again: (entry: WorkerEntry) =>
      entry.turn.withPermit(
        Effect.gen(function* () {
          if (entries.get(entry.spec.id) !== entry) return
          yield* halt(entry, "it is restarted")
          yield* move(entry, "start", undefined)
          entry.run = newRun()
          yield* start(entry)
        }).pipe(Effect.uninterruptible)
      )
  }
})
