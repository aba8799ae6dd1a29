import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Narrate } from "../../job/withNarration.ts"
import { Settings } from "../../settings/Settings.ts"
import { Pids } from "../../system/Pids.ts"
import type { Device } from "../devices/Devices.ts"
import type { Cancellation, Engine } from "../engines/Engine.ts"
import type { WorkerSpec } from "../engines/WorkerSpec.ts"
import * as ModelId from "../models/ModelId.ts"
import { Models } from "../models/Models.ts"
import {
  QueueFull,
  WorkerBusy,
  WorkerFailed,
  WorkerNotFound,
  WorkerNotReady,
  WrongDevice,
  WrongModel
} from "./errors.ts"
import { deviceName } from "./Placement.ts"
import * as WorkerPlan from "./WorkerPlan.ts"
import { WorkerProcesses } from "./WorkerProcesses.ts"
import { type QueueTicket, WorkerQueue } from "./WorkerQueue.ts"
import type { StoredWorker, WorkerRecord } from "./WorkerRecord.ts"
import { hasFreeSlot, type LeaseRequest, leastBusy, matches } from "./WorkerSelection.ts"
import { WorkerStore } from "./WorkerStore.ts"
import * as WorkerLife from "./WorkerSupervisor.ts"

/** A worker, and how many requests it works on for this hive. */
export interface ListedWorker {
  readonly record: WorkerRecord
  readonly requests: number
  readonly spec: WorkerSpec
}

/** A worker that is ready, and counts as busy while the lease's scope is open. */
export interface Lease {
  readonly id: string
  readonly model: string
  readonly port: number
  /** Tokens that one request may have, prompt and answer together. */
  readonly contextSize?: number
  /** Why the worker's process ended; waits a moment for it to end. */
  readonly exitReason: Effect.Effect<WorkerFailed>
  /** Returns when the worker's process has ended. */
  readonly exited: Effect.Effect<void>
  /** Whether the worker answers its health check, within a second. */
  readonly isHealthy: Effect.Effect<boolean>
  /** How the engine stops a request. */
  readonly cancellation: Cancellation
  /** What the body of a streamed request has besides the client's fields. */
  readonly streamFields: Engine["streamFields"]
  /** Counts the request no longer among those that the worker works on; gives the most answers of the others. */
  readonly withdraw: () => number
  /** Ends the worker's process, if it is still the one of this lease; another is started in its place. */
  readonly restart: (reason: string) => Effect.Effect<void>
}

/** Why no worker can take a request. */
export type LeaseError =
  | QueueFull
  | WorkerFailed
  | WorkerNotFound
  | WorkerNotReady
  | WorkerPlan.PlanError
  | WrongDevice
  | WrongModel

/** The workers of this hive: it starts their processes, watches over them, and ends them when its scope closes. */
export class Workers extends Context.Service<
  Workers,
  {
    readonly list: Effect.Effect<ReadonlyArray<ListedWorker>>
    readonly get: (id: string) => Effect.Effect<WorkerRecord, WorkerNotFound>
    /** Returns when the worker answers. Interrupting it ends the process, unless a request waits for the worker. */
    readonly spawn: (
      request: WorkerPlan.SpawnRequest,
      narrate: Narrate
    ) => Effect.Effect<WorkerRecord, WorkerPlan.PlanError | WorkerFailed>
    /** Returns when the process has ended. With `onlyIdle` it fails while the worker has requests, or some wait for it. */
    readonly stop: (id: string, onlyIdle?: boolean) => Effect.Effect<void, WorkerBusy | WorkerNotFound>
    /** Ends the process and starts another with the same settings, under the same id. */
    readonly restart: (
      id: string,
      narrate: Narrate
    ) => Effect.Effect<WorkerRecord, WorkerFailed | WorkerNotFound>
    /**
     * Finds the least busy worker that is ready, else waits for one that is starting, else starts one. `QueueFull` only
     * of who stands in line.
     */
    readonly lease: (request: LeaseRequest, narrate: Narrate) => Effect.Effect<Lease, LeaseError, Scope.Scope>
  }
>()("rbee/hive/workers/Workers") {
  /** Adopts the workers that an earlier hive left running. */
  static readonly layerNoDeps = Layer.effect(
    Workers,
    Effect.suspend(() => make)
  )
}

type Entry = WorkerLife.WorkerEntry
type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const maxPollInterval = 10_000
const progressInterval = "1 second"
// Prompts up to here stand in one line.
const smallContext = 2048
const adoptTimeout = "2 seconds"
const exitTimeout = "1500 millis"
// A worker that does not answer a cancel most likely does not answer a signal either.
const unresponsiveTimeout = "1 second"
const disconnect: Cancellation = { _tag: "Disconnect" }

const exitReason = ({ spec }: Entry, { gone }: WorkerLife.ProcessRun) =>
  Effect.timeoutOrElse(Deferred.await(gone), {
    duration: exitTimeout,
    orElse: () =>
      Effect.succeed(
        new WorkerFailed({
          worker: spec.id,
          model: spec.model,
          reason: "it closed the connection in the middle of an answer",
          lastLines: []
        })
      )
  })

const make = Effect.gen(function* () {
  const pids = yield* Pids
  const clock = yield* Clock.Clock
  const { scheduler, workers: settings } = yield* Settings
  const processes = yield* WorkerProcesses
  const store = yield* WorkerStore
  const models = yield* Models
  const plan = yield* WorkerPlan.make
  const entries: WorkerLife.Entries = new Map()
  const lives = yield* WorkerLife.make(entries)
  // One at a time is planned, so that two requests for one model start one worker, and memory is not given twice.
  const planning = yield* Semaphore.make(1)
  const lines = new WorkerQueue()

  const find = (id: string) =>
    Effect.suspend(() => {
      const entry = entries.get(id)
      return entry === undefined
        ? Effect.fail(new WorkerNotFound({ worker: id, known: [...entries.keys()] }))
        : Effect.succeed(entry)
    })

  const reserved = (device: Device) =>
    [...entries.values()]
      .filter(({ spec, state }) => state === "starting" && spec.backend === device.backend)
      .filter(({ spec }) => spec.device === device.index)
      .reduce((sum, { spec }) => sum + spec.memoryBytes, 0)

  const begin = (request: WorkerPlan.SpawnRequest, narrate: Narrate, restore: Restore) =>
    Effect.flatMap(
      restore(
        plan(request, { reserved, freedLately: lives.freedLately, isTaken: (id) => entries.has(id) }, narrate)
      ),
      (spec) => lives.begin(spec)
    )

  // A start that nobody waits for any more has no use.
  const abandon = (entry: Entry) =>
    Effect.suspend(() =>
      entry.waiters === 0 && !entry.proven && entry.state === "starting"
        ? lives.end(entry, "nobody waits for it any more")
        : Effect.void
    )

  // How far its model is loaded, or that it is started again; as often as it changes.
  const reportReasons = Effect.fnUntraced(function* (entry: Entry, narrate: Narrate) {
    let told: string | undefined
    while (true) {
      const { reason, spec } = entry
      if (reason !== undefined && reason !== told) {
        yield* narrate("worker_wait", `Worker ${spec.id} is starting: ${reason}`)
      }
      told = reason
      yield* Effect.sleep(progressInterval)
    }
  })

  /** Gets an entry and waits until it is ready. Uninterruptible but for the planning and the waiting. */
  const readyEntry = <E>(
    get: (restore: Restore) => Effect.Effect<Entry, E>,
    report: (entry: Entry) => Effect.Effect<void>,
    narrate: Narrate
  ) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(get(restore), (entry) => {
        if (entry.state === "ready") return Effect.succeed(entry)
        entry.waiters++
        const leave = Effect.sync(() => {
          entry.waiters--
        })
        const ready = Effect.suspend(() => Deferred.await(entry.run.ready))
        return restore(
          Effect.andThen(report(entry), Effect.raceFirst(ready, reportReasons(entry, narrate)))
        ).pipe(
          Effect.ensuring(leave),
          Effect.onInterrupt(() => abandon(entry)),
          Effect.as(entry)
        )
      })
    )

  const loading =
    (narrate: Narrate) =>
    ({ spec }: Entry) =>
      narrate("worker_start", `Worker ${spec.id} loads ${spec.model}`)

  const waiting =
    (narrate: Narrate) =>
    ({ spec }: Entry) =>
      narrate("worker_wait", `Waiting for worker ${spec.id}, which is starting`)

  const told = Effect.fnUntraced(function* (entry: Entry, narrate: Narrate) {
    const record = WorkerLife.recordOf(entry)
    yield* narrate("worker_ready", `Worker ${record.id} is ready on port ${record.port}`)
    return record
  })

  const named = Effect.fnUntraced(function* (id: string, request: LeaseRequest) {
    const entry = yield* find(id)
    const { reason, spec, state } = entry
    if (spec.model !== request.model) {
      return yield* new WrongModel({ worker: id, serves: spec.model, asked: request.model })
    }
    const { device, on } = request
    if ((device !== undefined || on !== undefined) && !matches(entry, request)) {
      const asked = on === undefined ? undefined : deviceName(on)
      return yield* new WrongDevice({
        worker: id,
        runsOn: `${spec.backend}-${spec.device}`,
        asked: asked ?? `device ${device}`
      })
    }
    if (state === "ready" || state === "starting") return entry
    return yield* new WorkerNotReady({ worker: id, state, ...(reason === undefined ? {} : { reason }) })
  })

  const anyOrNew = (request: LeaseRequest, narrate: Narrate, restore: Restore) =>
    Effect.suspend(() => {
      const ready = leastBusy(entries.values(), request, "ready")
      if (ready !== undefined) return Effect.succeed(ready)
      return planning.withPermit(
        Effect.suspend(() => {
          const other =
            leastBusy(entries.values(), request, "ready") ?? leastBusy(entries.values(), request, "starting")
          if (other !== undefined) return Effect.succeed(other)
          const { capabilities, contextSize, device, engine, minContext, model, on = {}, parallel } = request
          const worker = engine ?? deviceName(on) ?? "auto"
          const wanted = { worker, model, device, contextSize, minContext, parallel, capabilities }
          return Effect.andThen(
            narrate("worker_spawn", `No worker serves ${request.model}; starting one`),
            begin(wanted, narrate, restore)
          )
        })
      )
    })

  const occupy = Effect.fnUntraced(function* (entry: Entry, answers = 1) {
    const { engine, process, run, spec, state } = entry
    if (process === undefined) return yield* new WorkerNotReady({ worker: spec.id, state })
    const count = (by: number) =>
      Effect.sync(() => {
        entry.requests += by
        entry.usedAt = clock.currentTimeMillisUnsafe()
      })
    let isCounted = false
    const enter = Effect.sync(() => {
      isCounted = true
      entry.answers += answers
    })
    const withdraw = () => {
      if (isCounted) entry.answers -= answers
      isCounted = false
      return entry.answers
    }
    yield* Effect.acquireRelease(Effect.andThen(count(1), enter), () => {
      withdraw()
      return Effect.andThen(count(-1), lines.wake)
    })
    return {
      id: spec.id,
      model: spec.model,
      port: process.port,
      contextSize: spec.contextSize,
      exitReason: exitReason(entry, run),
      exited: Effect.asVoid(Deferred.await(run.gone)),
      isHealthy: processes.isHealthy({ spec, process }),
      cancellation: engine?.cancellation ?? disconnect,
      streamFields: engine?.streamFields,
      withdraw,
      restart: (reason: string) =>
        entry.run === run
          ? Effect.andThen(
              Effect.logWarning("worker is restarted", { worker: spec.id, reason }),
              pids.terminate(process, unresponsiveTimeout)
            )
          : Effect.void
    }
  })

  const inTurn = Effect.fnUntraced(function* (
    place: QueueTicket,
    found: Effect.Effect<Entry, LeaseError>,
    answers: number | undefined,
    narrate: Narrate
  ) {
    let isTold = false
    while (true) {
      const entry = yield* found
      if (place.isFirst() && hasFreeSlot(entry)) return yield* occupy(entry, answers)
      if (!isTold)
        yield* narrate("queue", `Waiting in position ${place.position() + 1}: all workers are busy`)
      isTold = true
      yield* place.change
    }
  })

  /** The id by which workers have the model: as written where one has it so, because the rest looks into the models folder. */
  const canonical = Effect.fnUntraced(function* (name: string) {
    for (const { spec } of entries.values()) if (spec.model === name) return name
    const located = yield* Effect.result(models.resolve(name))
    if (Result.isSuccess(located)) return located.success.id
    return ModelId.format(yield* Effect.fromResult(ModelId.parse(name)))
  })

  const lease = Effect.fnUntraced(function* (asked: LeaseRequest, narrate: Narrate) {
    const model = yield* canonical(asked.model)
    const request = { ...asked, model }
    const { capabilities, contextSize, device, engine, minContext = 1, on, workerId } = asked
    const found = readyEntry(
      (restore): Effect.Effect<Entry, LeaseError> =>
        workerId === undefined ? anyOrNew(request, narrate, restore) : named(workerId, request),
      waiting(narrate),
      narrate
    )
    if (asked.inLine !== true || workerId !== undefined) return yield* occupy(yield* found, asked.answers)

    // Who waits for the same stands in the same line.
    const size = Math.ceil(Math.log2(Math.max(minContext, smallContext)))
    const line = JSON.stringify([model, engine, contextSize, size, device, on, capabilities])
    const { queueLength } = scheduler
    if (lines.lengthOf(line) >= queueLength) return yield* new QueueFull({ model, limit: queueLength })
    return yield* lines.stand(line, (place) => inTurn(place, found, asked.answers, narrate))
  })

  const adopt = Effect.fnUntraced(function* (stored: StoredWorker) {
    if (yield* pids.isAlive(stored.process)) return [yield* lives.begin(stored.spec, stored)]
    yield* store.remove(stored.spec.id)
    return []
  })

  const untilAdopted = Effect.fnUntraced(function* (entry: Entry) {
    const outcome = yield* Effect.result(Effect.timeoutOption(Deferred.await(entry.run.ready), adoptTimeout))
    const adopted = Result.isSuccess(outcome) && Option.isSome(outcome.success)
    const { id: worker, model } = entry.spec
    yield* Effect.logInfo(adopted ? "adopted a worker" : "a worker of an earlier hive does not answer", {
      worker,
      model,
      pid: entry.process?.pid
    })
  })

  yield* Effect.addFinalizer(() =>
    Effect.forEach([...entries.values()], (entry) => lives.end(entry, "the hive stops"), {
      concurrency: "unbounded",
      discard: true
    })
  )
  // All of them at once: a hive that is stopped while it starts ends those that it has adopted.
  const adopted = yield* Effect.uninterruptible(
    Effect.flatMap(store.list, (stored) => Effect.forEach(stored, adopt, { concurrency: "unbounded" }))
  )
  yield* Effect.forEach(adopted.flat(), untilAdopted, { concurrency: "unbounded", discard: true })

  const idleMillis = Duration.toMillis(settings.idleStop)
  const isIdle = ({ requests, state, usedAt, waiters }: Entry) =>
    state === "ready" &&
    requests === 0 &&
    waiters === 0 &&
    clock.currentTimeMillisUnsafe() - usedAt >= idleMillis
  const stopIdle = Effect.suspend(() =>
    Effect.forEach(
      [...entries.values()].filter(isIdle),
      (entry) =>
        lives.end(entry, `it had no request for ${Duration.format(settings.idleStop)} (workers.idle_stop)`),
      { concurrency: "unbounded", discard: true }
    )
  )
  if (Duration.isFinite(settings.idleStop)) {
    const pollInterval = Math.min(idleMillis / 4, maxPollInterval)
    yield* stopIdle.pipe(Effect.delay(pollInterval), Effect.forever, Effect.forkScoped)
  }

  return Workers.of({
    list: Effect.sync(() =>
      [...entries.values()].map((entry) => ({
        record: WorkerLife.recordOf(entry),
        requests: entry.requests,
        spec: entry.spec
      }))
    ),
    get: (id) => Effect.map(find(id), WorkerLife.recordOf),
    spawn: Effect.fn("Workers.spawn")(function* (request, narrate) {
      const entry = yield* readyEntry(
        (restore) => planning.withPermit(begin(request, narrate, restore)),
        loading(narrate),
        narrate
      )
      return yield* told(entry, narrate)
    }),
    stop: Effect.fn("Workers.stop")(function* (id, onlyIdle = false) {
      const entry = yield* find(id)
      const requests = entry.requests + entry.waiters
      if (onlyIdle && requests > 0) return yield* new WorkerBusy({ worker: id, requests })
      yield* lives.end(entry, "it was stopped")
    }),
    restart: Effect.fn("Workers.restart")(function* (id, narrate) {
      const entry = yield* find(id)
      yield* narrate("worker_stop", `Stopping worker ${id}`)
      yield* lives.again(entry)
      yield* readyEntry(() => find(id), loading(narrate), narrate)
      return yield* told(entry, narrate)
    }),
    lease
  })
})
