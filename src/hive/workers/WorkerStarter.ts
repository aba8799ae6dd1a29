import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import type { Narrate } from "../../job/withNarration.ts"
import { awaitReady, type Restore } from "./awaitReady.ts"
import type { WorkerFailed, WorkerNotFound } from "./errors.ts"
import { findEntry, type WorkerEntry } from "./WorkerEntry.ts"
import { type OtherWorkers, type PlanError, type SpawnRequest, WorkerPlanner } from "./WorkerPlanner.ts"
import { type DeviceIndex, WorkerSupervisor } from "./WorkerSupervisor.ts"

/** Plans workers one at a time and starts them. Every method returns when the worker is ready. */
export class WorkerStarter extends Context.Service<
  WorkerStarter,
  {
    /** Interrupting it ends the process, unless a request waits for the worker. */
    readonly spawn: (
      request: SpawnRequest,
      narrate: Narrate
    ) => Effect.Effect<WorkerEntry, PlanError | WorkerFailed>
    /** Takes the worker that `find` returns, or starts one. */
    readonly findOrSpawn: (
      find: () => WorkerEntry | undefined,
      request: SpawnRequest,
      narrate: Narrate
    ) => Effect.Effect<WorkerEntry, PlanError | WorkerFailed>
    /** Ends the worker's process and starts another. */
    readonly restart: (
      entry: WorkerEntry,
      narrate: Narrate
    ) => Effect.Effect<WorkerEntry, WorkerFailed | WorkerNotFound>
    /** Waits for a worker that exists. */
    readonly await: <E>(
      find: Effect.Effect<WorkerEntry, E>,
      narrate: Narrate
    ) => Effect.Effect<WorkerEntry, E | WorkerFailed>
  }
>()("rbee/hive/workers/WorkerStarter") {
  static readonly layerNoDeps = Layer.effect(
    WorkerStarter,
    Effect.suspend(() => make)
  )
}

/** Bytes that workers on the device will take which are still loading. */
export const reservedBytes = (entries: Iterable<WorkerEntry>, { backend, index }: DeviceIndex) => {
  let bytes = 0
  for (const { spec, state } of entries) {
    if (state === "starting" && spec.backend === backend && spec.device === index) bytes += spec.memoryBytes
  }
  return bytes
}

const narrateLoading =
  (narrate: Narrate) =>
  ({ spec }: WorkerEntry) =>
    narrate("worker_start", `Worker ${spec.id} loads ${spec.model}`)

const narrateWait =
  (narrate: Narrate) =>
  ({ spec }: WorkerEntry) =>
    narrate("worker_wait", `Waiting for worker ${spec.id}, which is starting`)

const make = Effect.gen(function* () {
  const supervisor = yield* WorkerSupervisor
  const planner = yield* WorkerPlanner
  const { entries } = supervisor
  // One at a time, so that two requests for one model start one worker, and memory is not reserved twice.
  const planning = yield* Semaphore.make(1)
  const others: OtherWorkers = {
    reserved: (device) => reservedBytes(entries.values(), device),
    freedRecently: supervisor.freedRecently,
    isTaken: (id) => entries.has(id)
  }

  const begin = (request: SpawnRequest, narrate: Narrate, restore: Restore) =>
    Effect.flatMap(restore(planner.plan(request, others, narrate)), (spec) => supervisor.begin(spec))

  const abandon = (entry: WorkerEntry) =>
    Effect.suspend(() =>
      entry.waiters === 0 && !entry.wasReady && entry.state === "starting"
        ? supervisor.end(entry, "no request is waiting for it")
        : Effect.void
    )

  const findOrBegin = (
    find: () => WorkerEntry | undefined,
    request: SpawnRequest,
    narrate: Narrate,
    restore: Restore
  ) =>
    Effect.suspend(() => {
      const found = find()
      if (found !== undefined) return Effect.succeed(found)
      const started = Effect.andThen(
        narrate("worker_spawn", `No worker serves ${request.model}; starting one`),
        begin(request, narrate, restore)
      )
      return planning.withPermit(
        Effect.suspend(() => {
          const found = find()
          return found === undefined ? started : Effect.succeed(found)
        })
      )
    })

  return WorkerStarter.of({
    spawn: (request, narrate) =>
      awaitReady({
        get: (restore) => planning.withPermit(begin(request, narrate, restore)),
        announce: narrateLoading(narrate),
        abandon,
        narrate
      }),
    findOrSpawn: (find, request, narrate) =>
      awaitReady({
        get: (restore) => findOrBegin(find, request, narrate, restore),
        announce: narrateWait(narrate),
        abandon,
        narrate
      }),
    restart: (entry, narrate) =>
      Effect.andThen(
        supervisor.restart(entry),
        awaitReady({
          get: () => findEntry(entries, entry.spec.id),
          announce: narrateLoading(narrate),
          abandon,
          narrate
        })
      ),
    await: (find, narrate) =>
      awaitReady({ get: () => find, announce: narrateWait(narrate), abandon, narrate })
  })
})
