import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Narrate } from "../../job/withNarration.ts"
import { Settings } from "../../settings/Settings.ts"
import { Pids } from "../../system/Pids.ts"
import * as ModelId from "../models/ModelId.ts"
import { Models } from "../models/Models.ts"
import { QueueFull } from "./errors.ts"
import { type Lease, type LeaseContext, type LeaseError, openLease } from "./Lease.ts"
import { deviceName } from "./Placement.ts"
import { findEntry, type WorkerEntry } from "./WorkerEntry.ts"
import { WorkerProcesses } from "./WorkerProcesses.ts"
import { type QueueTicket, WorkerQueue } from "./WorkerQueue.ts"
import { checkNamed, hasFreeSlot, type LeaseRequest, leastBusy } from "./WorkerSelection.ts"
import { WorkerStarter } from "./WorkerStarter.ts"
import { WorkerSupervisor } from "./WorkerSupervisor.ts"

/** Assigns workers to requests. */
export class WorkerLeases extends Context.Service<
  WorkerLeases,
  {
    /**
     * Takes the least busy worker that is ready, else waits for one that is starting, else starts one. With `inLine` it
     * waits for a free slot, in the order of the requests; only then it fails with `QueueFull`.
     */
    readonly lease: (request: LeaseRequest, narrate: Narrate) => Effect.Effect<Lease, LeaseError, Scope.Scope>
  }
>()("rbee/hive/workers/WorkerLeases") {
  static readonly layerNoDeps = Layer.effect(
    WorkerLeases,
    Effect.suspend(() => make)
  )
}

// Requests with contexts up to this many tokens share a queue.
const smallContext = 2048

/** Requests that the same workers can take wait in the same queue. */
export const queueName = (request: LeaseRequest) => {
  const { capabilities, contextSize, device, engine, minContext = 1, model, on } = request
  const size = Math.ceil(Math.log2(Math.max(minContext, smallContext)))
  return JSON.stringify([model, engine, contextSize, size, device, on, capabilities])
}

/** The worker to start for a request that no worker can take. */
const spawnRequest = (request: LeaseRequest) => {
  const { capabilities, contextSize, device, engine, minContext, model, on = {}, parallel } = request
  const worker = engine ?? deviceName(on) ?? "auto"
  return { worker, model, device, contextSize, minContext, parallel, capabilities }
}

const make = Effect.gen(function* () {
  const { scheduler } = yield* Settings
  const { entries } = yield* WorkerSupervisor
  const starter = yield* WorkerStarter
  const models = yield* Models
  const queue = new WorkerQueue()
  const context: LeaseContext = {
    clock: yield* Clock.Clock,
    pids: yield* Pids,
    processes: yield* WorkerProcesses,
    released: queue.wake
  }

  const findNamed = (id: string, request: LeaseRequest) =>
    Effect.flatMap(findEntry(entries, id), (entry) => Effect.fromResult(checkNamed(entry, request)))

  const findWorker = (request: LeaseRequest, narrate: Narrate): Effect.Effect<WorkerEntry, LeaseError> => {
    if (request.workerId !== undefined) {
      return starter.await(findNamed(request.workerId, request), narrate)
    }
    const find = () =>
      leastBusy(entries.values(), request, "ready") ?? leastBusy(entries.values(), request, "starting")
    return starter.findOrSpawn(find, spawnRequest(request), narrate)
  }

  const whenFree = Effect.fnUntraced(function* (
    ticket: QueueTicket,
    found: Effect.Effect<WorkerEntry, LeaseError>,
    answers: number,
    narrate: Narrate
  ) {
    let isNarrated = false
    while (true) {
      const entry = yield* found
      if (ticket.isFirst() && hasFreeSlot(entry)) return yield* openLease(entry, answers, context)
      if (!isNarrated) {
        yield* narrate("queue", `Waiting in position ${ticket.position() + 1}: all workers are busy`)
      }
      isNarrated = true
      yield* ticket.change
    }
  })

  /** The id under which workers have the model. A name that a worker has needs no look into the models folder. */
  const canonicalModel = Effect.fnUntraced(function* (name: string) {
    for (const { spec } of entries.values()) if (spec.model === name) return name
    const located = yield* Effect.result(models.resolve(name))
    if (Result.isSuccess(located)) return located.success.id
    return ModelId.format(yield* Effect.fromResult(ModelId.parse(name)))
  })

  const lease = Effect.fnUntraced(function* (requested: LeaseRequest, narrate: Narrate) {
    const model = yield* canonicalModel(requested.model)
    const request = { ...requested, model }
    const { answers = 1, inLine = false, workerId } = request
    const found = findWorker(request, narrate)
    if (!inLine || workerId !== undefined) return yield* openLease(yield* found, answers, context)
    const name = queueName(request)
    const { queueLength } = scheduler
    if (queue.lengthOf(name) >= queueLength) return yield* new QueueFull({ model, limit: queueLength })
    return yield* queue.wait(name, (ticket) => whenFree(ticket, found, answers, narrate))
  })

  return WorkerLeases.of({ lease })
})
