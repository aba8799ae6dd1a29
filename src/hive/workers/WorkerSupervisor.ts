import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type { Backend } from "../devices/Backend.ts"
import type { WorkerSpec } from "../engines/WorkerSpec.ts"
import { WorkerFailed } from "./errors.ts"
import { keepRunning } from "./keepRunning.ts"
import { newEntry, newRun, settle, transition, type WorkerEntry } from "./WorkerEntry.ts"
import { WorkerProcesses } from "./WorkerProcesses.ts"
import type { StoredWorker } from "./WorkerRecord.ts"
import { WorkerStore } from "./WorkerStore.ts"

/** A device by its backend and the backend's own index. */
export interface DeviceIndex {
  readonly backend: Backend
  readonly index: number
}

/** Starts, monitors, restarts and stops the processes of this hive's workers. */
export class WorkerSupervisor extends Context.Service<
  WorkerSupervisor,
  {
    /** The workers of this hive by their id, oldest first. */
    readonly entries: ReadonlyMap<string, WorkerEntry>
    /** Whether a worker on the device has ended in the last 10 s, whose memory the system may not show as free yet. */
    readonly freedRecently: (device: DeviceIndex) => boolean
    /** Adds a worker and starts its process, or takes over the process that an earlier hive left running. */
    readonly begin: (spec: WorkerSpec, adopted?: StoredWorker) => Effect.Effect<WorkerEntry>
    /** Returns when the process has ended and the worker is removed. */
    readonly end: (entry: WorkerEntry, reason: string) => Effect.Effect<void>
    /** Ends the process and starts another, unless the worker was stopped in the meantime. */
    readonly restart: (entry: WorkerEntry) => Effect.Effect<void>
  }
>()("rbee/hive/workers/WorkerSupervisor") {
  static readonly layerNoDeps = Layer.effect(
    WorkerSupervisor,
    Effect.suspend(() => make)
  )
}

const memoryDelay = 10_000

const make = Effect.gen(function* () {
  const processes = yield* WorkerProcesses
  const store = yield* WorkerStore
  const clock = yield* Clock.Clock
  const entries = new Map<string, WorkerEntry>()
  const freedAt = new Map<string, number>()

  const remove = (entry: WorkerEntry) =>
    Effect.suspend(() => {
      if (entries.get(entry.spec.id) === entry) entries.delete(entry.spec.id)
      return Effect.andThen(store.remove(entry.spec.id), store.removeLog(entry.spec.id))
    })

  const giveUp = Effect.fnUntraced(function* (entry: WorkerEntry, failure: WorkerFailed, reason: string) {
    yield* transition(entry, "gave_up", reason)
    yield* entry.wasReady ? store.remove(entry.spec.id) : remove(entry)
    yield* settle(entry, failure)
  })

  // Detached, because the scope would end its fibers one after the other; `halt` ends each of them.
  const start = Effect.fnUntraced(function* (entry: WorkerEntry, adopted?: StoredWorker) {
    entry.fiber = yield* Effect.forkDetach(
      keepRunning(entry, processes, adopted, (failure, reason) => giveUp(entry, failure, reason))
    )
  })

  const halt = Effect.fnUntraced(function* (entry: WorkerEntry, reason: string) {
    yield* transition(entry, "stop", reason)
    if (entry.fiber !== undefined) yield* Fiber.interrupt(entry.fiber)
    const { backend, device, id, model } = entry.spec
    freedAt.set(`${backend}-${device}`, clock.currentTimeMillisUnsafe())
    yield* transition(entry, "ended", reason)
    yield* settle(entry, new WorkerFailed({ worker: id, model, reason, lastLines: [], killed: true }))
  })

  const restart = Effect.fnUntraced(function* (entry: WorkerEntry) {
    if (entries.get(entry.spec.id) !== entry) return
    yield* halt(entry, "it is restarted")
    yield* transition(entry, "start", undefined)
    entry.run = newRun()
    yield* start(entry)
  }, Effect.uninterruptible)

  return WorkerSupervisor.of({
    entries,
    freedRecently: ({ backend, index }) =>
      clock.currentTimeMillisUnsafe() - (freedAt.get(`${backend}-${index}`) ?? Number.NEGATIVE_INFINITY) <
      memoryDelay,
    begin: Effect.fnUntraced(function* (spec, adopted) {
      const entry = newEntry(spec)
      entries.set(spec.id, entry)
      yield* start(entry, adopted)
      return entry
    }, Effect.uninterruptible),
    end: (entry, reason) =>
      Effect.uninterruptible(entry.lock.withPermit(Effect.andThen(halt(entry, reason), remove(entry)))),
    restart: (entry) => entry.lock.withPermit(restart(entry))
  })
})
