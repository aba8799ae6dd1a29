import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Narrate } from "../../job/withNarration.ts"
import { Settings } from "../../settings/Settings.ts"
import { Pids } from "../../system/Pids.ts"
import type { WorkerSpec } from "../engines/WorkerSpec.ts"
import { adoptWorkers } from "./adoption.ts"
import { WorkerBusy, type WorkerFailed, type WorkerNotFound } from "./errors.ts"
import { stopIdleWorkers } from "./idleStop.ts"
import type { Lease, LeaseError } from "./Lease.ts"
import { findEntry, recordOf, type WorkerEntry } from "./WorkerEntry.ts"
import { WorkerLeases } from "./WorkerLeases.ts"
import { type PlanError, type SpawnRequest, WorkerPlanner } from "./WorkerPlanner.ts"
import type { WorkerRecord } from "./WorkerRecord.ts"
import type { LeaseRequest } from "./WorkerSelection.ts"
import { WorkerStarter } from "./WorkerStarter.ts"
import { WorkerStore } from "./WorkerStore.ts"
import { WorkerSupervisor } from "./WorkerSupervisor.ts"

/** A worker, and how many requests of this hive it works on. */
export interface ListedWorker {
  readonly record: WorkerRecord
  readonly requests: number
  readonly spec: WorkerSpec
}

/** The workers of this hive. Their processes end when the scope closes. */
export class Workers extends Context.Service<
  Workers,
  {
    readonly list: Effect.Effect<ReadonlyArray<ListedWorker>>
    readonly get: (id: string) => Effect.Effect<WorkerRecord, WorkerNotFound>
    /** Returns when the worker is ready. Interrupting it ends the process, unless a request waits for the worker. */
    readonly spawn: (
      request: SpawnRequest,
      narrate: Narrate
    ) => Effect.Effect<WorkerRecord, PlanError | WorkerFailed>
    /** Returns when the process has ended. With `onlyIdle` it fails while the worker has requests or requests wait for it. */
    readonly stop: (id: string, onlyIdle?: boolean) => Effect.Effect<void, WorkerBusy | WorkerNotFound>
    /** Ends the process and starts another with the same settings, under the same id. Returns when the worker is ready. */
    readonly restart: (
      id: string,
      narrate: Narrate
    ) => Effect.Effect<WorkerRecord, WorkerFailed | WorkerNotFound>
    /**
     * Takes the least busy worker that is ready, else waits for one that is starting, else starts one. `QueueFull` only
     * with `inLine`.
     */
    readonly lease: (request: LeaseRequest, narrate: Narrate) => Effect.Effect<Lease, LeaseError, Scope.Scope>
  }
>()("rbee/hive/workers/Workers") {
  /** Adopts the workers that an earlier hive left running. */
  static readonly layerNoDeps = Layer.effect(
    Workers,
    Effect.suspend(() => make)
  ).pipe(
    Layer.provide(WorkerLeases.layerNoDeps),
    Layer.provide(WorkerStarter.layerNoDeps),
    Layer.provide([WorkerPlanner.layerNoDeps, WorkerSupervisor.layerNoDeps])
  )
}

const narrateReady = Effect.fnUntraced(function* (entry: WorkerEntry, narrate: Narrate) {
  const record = recordOf(entry)
  yield* narrate("worker_ready", `Worker ${record.id} is ready on port ${record.port}`)
  return record
})

const make = Effect.gen(function* () {
  const { workers: settings } = yield* Settings
  const supervisor = yield* WorkerSupervisor
  const starter = yield* WorkerStarter
  const { lease } = yield* WorkerLeases
  const { entries } = supervisor

  const find = (id: string) => findEntry(entries, id)

  yield* Effect.addFinalizer(() =>
    Effect.forEach([...entries.values()], (entry) => supervisor.end(entry, "the hive stops"), {
      concurrency: "unbounded",
      discard: true
    })
  )
  yield* adoptWorkers(supervisor, yield* WorkerStore, yield* Pids)
  yield* stopIdleWorkers(supervisor, settings.idleStop)

  return Workers.of({
    list: Effect.sync(() =>
      [...entries.values()].map((entry) => ({
        record: recordOf(entry),
        requests: entry.requests,
        spec: entry.spec
      }))
    ),
    get: (id) => Effect.map(find(id), recordOf),
    spawn: Effect.fn("Workers.spawn")(function* (request, narrate) {
      return yield* narrateReady(yield* starter.spawn(request, narrate), narrate)
    }),
    stop: Effect.fn("Workers.stop")(function* (id, onlyIdle = false) {
      const entry = yield* find(id)
      const requests = entry.requests + entry.waiters
      if (onlyIdle && requests > 0) return yield* new WorkerBusy({ worker: id, requests })
      yield* supervisor.end(entry, "it was stopped")
    }),
    restart: Effect.fn("Workers.restart")(function* (id, narrate) {
      const entry = yield* find(id)
      yield* narrate("worker_stop", `Stopping worker ${id}`)
      return yield* narrateReady(yield* starter.restart(entry, narrate), narrate)
    }),
    lease
  })
})
