import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { Pids } from "../config/Pids.ts"
import type { Say } from "../job/narrated.ts"
import type { Device } from "./Devices.ts"
import { WorkerFailed, WorkerNotFound, WorkerNotReady, WrongDevice, WrongModel } from "./errors.ts"
import * as ModelId from "./ModelId.ts"
import * as WorkerPlan from "./WorkerPlan.ts"
import { type ProcessEvents, WorkerProcesses } from "./WorkerProcesses.ts"
import type { StoredWorker, WorkerProcess, WorkerRecord, WorkerSpec, WorkerState } from "./WorkerRecord.ts"
import { WorkerStore } from "./WorkerStore.ts"

/** A worker, and how many requests it works on for this hive. */
export interface ListedWorker {
  readonly record: WorkerRecord
  readonly requests: number
}

/** What a request needs of a worker. */
export interface LeaseRequest {
  readonly model: string
  /** 0 leaves the choice open, as it does when a worker is placed. */
  readonly device?: number | undefined
  readonly workerId?: string | undefined
}

/** A worker that is ready, and counts as busy while the lease's scope is open. */
export interface Lease {
  readonly id: string
  readonly model: string
  readonly port: number
  /** Why the worker's process ended; waits a moment for it to end. */
  readonly whyGone: Effect.Effect<WorkerFailed>
}

export type LeaseError =
  | WorkerFailed
  | WorkerNotFound
  | WorkerNotReady
  | WorkerPlan.PlanError
  | WrongDevice
  | WrongModel

/** The workers of this hive: it starts their processes, watches over them, and stops them when its scope closes. */
export class Workers extends Context.Service<
  Workers,
  {
    readonly list: Effect.Effect<ReadonlyArray<ListedWorker>>
    readonly get: (id: string) => Effect.Effect<WorkerRecord, WorkerNotFound>
    /** Returns when the worker answers. Interrupting it stops the process, unless a request waits for the worker. */
    readonly spawn: (
      request: WorkerPlan.WorkerRequest,
      say: Say
    ) => Effect.Effect<WorkerRecord, WorkerPlan.PlanError | WorkerFailed>
    /** Returns when the process has ended. */
    readonly stop: (id: string) => Effect.Effect<void, WorkerNotFound>
    /** Stops the process and starts another with the same settings, under the same id. */
    readonly restart: (id: string, say: Say) => Effect.Effect<WorkerRecord, WorkerFailed | WorkerNotFound>
    /** Finds the least busy worker that is ready, else waits for one that is starting, else starts one. */
    readonly lease: (request: LeaseRequest, say: Say) => Effect.Effect<Lease, LeaseError, Scope.Scope>
  }
>()("rbee/hive/Workers") {
  static readonly layerNoDeps = Layer.effect(
    Workers,
    Effect.suspend(() => make)
  )
}

/** From the start of a worker's process to its end. */
interface Run {
  readonly ready: Deferred.Deferred<void, WorkerFailed>
  readonly gone: Deferred.Deferred<WorkerFailed>
}

interface Entry {
  readonly spec: WorkerSpec
  /** Lets one start or stop at a time. */
  readonly turn: Semaphore.Semaphore
  state: WorkerState
  run: Run
  process: WorkerProcess | undefined
  reason: string | undefined
  /** It was ready at least once; until then it is forgotten when its start fails or nobody waits for it. */
  proven: boolean
  waiters: number
  requests: number
  fiber: Fiber.Fiber<void> | undefined
}

const maxRestarts = 3
const firstPause = 500
const longestPause = 8000
const steadyAfter = 60_000
const adoptWithin = "2 seconds"
const goneWithin = "1500 millis"

const newRun = (): Run => ({ ready: Deferred.makeUnsafe(), gone: Deferred.makeUnsafe() })

const recordOf = ({ process, reason, spec, state }: Entry): WorkerRecord => ({
  id: spec.id,
  model: spec.model,
  state,
  worker: spec.worker,
  device: spec.device,
  ...(process === undefined ? {} : { pid: process.pid, port: process.port }),
  ...(reason === undefined ? {} : { reason })
})

const make = Effect.gen(function* () {
  const processes = yield* WorkerProcesses
  const pids = yield* Pids
  const store = yield* WorkerStore
  const plan = yield* WorkerPlan.make
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  // One at a time is planned, so that two requests for one model start one worker, and memory is not given twice.
  const planning = yield* Semaphore.make(1)
  const entries = new Map<string, Entry>()

  const forget = (entry: Entry) => {
    if (entries.get(entry.spec.id) === entry) entries.delete(entry.spec.id)
    return Effect.andThen(store.remove(entry.spec.id), store.removeLog(entry.spec.id))
  }

  const settle = (entry: Entry, failure: WorkerFailed) => {
    entry.process = undefined
    return Effect.andThen(
      Deferred.fail(entry.run.ready, failure),
      Deferred.succeed(entry.run.gone, failure)
    )
  }

  const giveUp = Effect.fnUntraced(function* (entry: Entry, failure: WorkerFailed, reason: string) {
    entry.state = "failed"
    entry.reason = reason
    yield* settle(entry, failure)
    yield* entry.proven ? store.remove(entry.spec.id) : forget(entry)
  })

  // The whole life of a worker: its first process, and those that follow when one ends.
  const live = (entry: Entry, first: (events: ProcessEvents) => Effect.Effect<WorkerFailed, WorkerFailed>) =>
    Effect.gen(function* () {
      let readyAt: number | undefined
      let crashes = 0
      const events: ProcessEvents = {
        started: (process) =>
          Effect.sync(() => {
            entry.process = process
          }),
        ready: () =>
          Effect.suspend(() => {
            entry.state = "ready"
            entry.proven = true
            entry.reason = undefined
            readyAt = clock.currentTimeMillisUnsafe()
            return Deferred.succeed(entry.run.ready, undefined)
          })
      }
      let process = first(events)
      while (true) {
        const failure = yield* Effect.catch(process, (error) => Effect.succeed(error))
        if (readyAt === undefined) return yield* giveUp(entry, failure, failure.reason)
        crashes = clock.currentTimeMillisUnsafe() - readyAt > steadyAfter ? 1 : crashes + 1
        yield* Effect.logWarning("worker ended", { worker: entry.spec.id, reason: failure.message, crashes })
        if (crashes > maxRestarts) {
          return yield* giveUp(entry, failure, `${failure.reason}; it was restarted ${maxRestarts} times`)
        }
        if (entry.state === "ready") {
          yield* settle(entry, failure)
          entry.run = newRun()
        }
        entry.process = undefined
        entry.state = "starting"
        entry.reason = `${failure.reason}; restart ${crashes} of ${maxRestarts}`
        yield* Effect.sleep(Math.min(longestPause, firstPause * 2 ** (crashes - 1)))
        process = processes.run(entry.spec, events)
      }
    })

  const start = Effect.fnUntraced(function* (entry: Entry, adopted?: StoredWorker) {
    entry.fiber = yield* Effect.forkIn(
      live(entry, (events) =>
        adopted === undefined ? processes.run(entry.spec, events) : processes.adopt(adopted, events)
      ),
      scope
    )
  })

  const enter = Effect.fnUntraced(function* (spec: WorkerSpec, adopted?: StoredWorker) {
    const entry: Entry = {
      spec,
      turn: Semaphore.makeUnsafe(1),
      state: "starting",
      run: newRun(),
      process: undefined,
      reason: undefined,
      proven: false,
      waiters: 0,
      requests: 0,
      fiber: undefined
    }
    entries.set(spec.id, entry)
    yield* start(entry, adopted)
    return entry
  })

  const halt = Effect.fnUntraced(function* (entry: Entry) {
    entry.state = "stopping"
    if (entry.fiber !== undefined) yield* Fiber.interrupt(entry.fiber)
    const { id, model } = entry.spec
    yield* settle(entry, new WorkerFailed({ worker: id, model, reason: "it was stopped", lastLines: [] }))
  })

  const remove = (entry: Entry) =>
    entry.turn.withPermit(Effect.andThen(halt(entry), Effect.suspend(() => forget(entry))))

  const abandon = (entry: Entry) =>
    entry.waiters === 0 && !entry.proven && entry.state === "starting" ? remove(entry) : Effect.void

  const becomesReady = (entry: Entry) =>
    Effect.suspend(() => {
      entry.waiters++
      return Deferred.await(entry.run.ready)
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          entry.waiters--
        })
      ),
      Effect.onInterrupt(() => Effect.suspend(() => abandon(entry)))
    )

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

  const begin = Effect.fnUntraced(function* (request: WorkerPlan.WorkerRequest, say: Say) {
    const spec = yield* plan(request, reserved, say)
    return yield* Effect.uninterruptible(enter(spec))
  })

  const awaited = Effect.fnUntraced(function* (entry: Entry, say: Say) {
    const { id, model } = entry.spec
    yield* say("worker_start", `Worker ${id} loads ${model}`)
    yield* becomesReady(entry)
    yield* say("worker_ready", `Worker ${id} is ready on port ${entry.process?.port}`)
    return recordOf(entry)
  })

  const suits = (entry: Entry, { device = 0, model }: LeaseRequest) =>
    entry.spec.model === model && (device === 0 || entry.spec.device === device)

  const candidate = (request: LeaseRequest, state: WorkerState) => {
    let best: Entry | undefined
    for (const entry of entries.values()) {
      if (entry.state !== state || !suits(entry, request)) continue
      if (best === undefined || entry.requests < best.requests) best = entry
    }
    return best
  }

  const waitFor = Effect.fnUntraced(function* (entry: Entry, say: Say) {
    yield* say("worker_wait", `Waiting for worker ${entry.spec.id}, which is starting`)
    yield* becomesReady(entry)
    return entry
  })

  const named = Effect.fnUntraced(function* (id: string, request: LeaseRequest, say: Say) {
    const entry = yield* find(id)
    const { device, model } = entry.spec
    if (model !== request.model) return yield* new WrongModel({ worker: id, serves: model, asked: request.model })
    if (request.device !== undefined && !suits(entry, request)) {
      return yield* new WrongDevice({ worker: id, runsOn: `device ${device}`, asked: request.device })
    }
    if (entry.state === "ready") return entry
    if (entry.state === "starting") return yield* waitFor(entry, say)
    const reason = entry.reason === undefined ? {} : { reason: entry.reason }
    return yield* new WorkerNotReady({ worker: id, state: entry.state, ...reason })
  })

  const anyOrNew = Effect.fnUntraced(function* (request: LeaseRequest, say: Say) {
    const ready = candidate(request, "ready")
    if (ready !== undefined) return ready
    const entry = yield* planning.withPermit(
      Effect.suspend(() => {
        const other = candidate(request, "ready") ?? candidate(request, "starting")
        if (other !== undefined) return Effect.succeed(other)
        return Effect.andThen(
          say("worker_spawn", `No worker serves ${request.model}; starting one`),
          begin({ worker: "auto", model: request.model, device: request.device }, say)
        )
      })
    )
    return entry.state === "ready" ? entry : yield* waitFor(entry, say)
  })

  const whyGone = (entry: Entry, run: Run) =>
    Deferred.await(run.gone).pipe(
      Effect.timeoutOrElse({
        duration: goneWithin,
        orElse: () =>
          Effect.succeed(
            new WorkerFailed({
              worker: entry.spec.id,
              model: entry.spec.model,
              reason: "it closed the connection in the middle of an answer",
              lastLines: []
            })
          )
      })
    )

  const lease = Effect.fnUntraced(function* (asked: LeaseRequest, say: Say) {
    const model = ModelId.format(yield* Effect.fromResult(ModelId.parse(asked.model)))
    const request = { ...asked, model }
    const entry = yield* asked.workerId === undefined
      ? anyOrNew(request, say)
      : named(asked.workerId, request, say)
    const { process, run } = entry
    if (process === undefined) return yield* new WorkerNotReady({ worker: entry.spec.id, state: entry.state })
    const count = (by: number) =>
      Effect.sync(() => {
        entry.requests += by
      })
    yield* Effect.acquireRelease(count(1), () => count(-1))
    return { id: entry.spec.id, model, port: process.port, whyGone: whyGone(entry, run) }
  })

  const adopt = Effect.fnUntraced(function* (stored: StoredWorker) {
    if (!(yield* pids.isAlive(stored.process))) return yield* store.remove(stored.spec.id)
    const entry = yield* enter(stored.spec, stored)
    const outcome = yield* Deferred.await(entry.run.ready).pipe(
      Effect.timeoutOption(adoptWithin),
      Effect.result
    )
    const { id, model } = stored.spec
    const adopted = Result.isSuccess(outcome) && Option.isSome(outcome.success)
    yield* Effect.logInfo(adopted ? "adopted a worker" : "a worker of an earlier hive does not answer yet", {
      worker: id,
      model,
      pid: stored.process.pid
    })
  })

  yield* Effect.addFinalizer(() =>
    Effect.forEach([...entries.values()], remove, { concurrency: "unbounded", discard: true })
  )
  yield* Effect.forEach(yield* store.list, adopt, { concurrency: "unbounded", discard: true })

  return Workers.of({
    list: Effect.sync(() =>
      [...entries.values()].map((entry) => ({ record: recordOf(entry), requests: entry.requests }))
    ),
    get: (id) => Effect.map(find(id), recordOf),
    spawn: Effect.fn("Workers.spawn")(function* (request, say) {
      const entry = yield* planning.withPermit(begin(request, say))
      return yield* awaited(entry, say)
    }),
    stop: Effect.fn("Workers.stop")(function* (id) {
      yield* remove(yield* find(id))
    }),
    restart: Effect.fn("Workers.restart")(function* (id, say) {
      const entry = yield* find(id)
      yield* say("worker_stop", `Stopping worker ${id}`)
      yield* entry.turn.withPermit(
        Effect.gen(function* () {
          yield* find(id)
          yield* halt(entry)
          entry.state = "starting"
          entry.reason = undefined
          entry.run = newRun()
          yield* start(entry)
        }).pipe(Effect.uninterruptible)
      )
      return yield* awaited(entry, say)
    }),
    lease
  })
})
