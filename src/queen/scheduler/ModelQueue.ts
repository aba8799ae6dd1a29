import { TransientMap } from "../../http/TransientMap.ts"
import type { LoadedWorker } from "./decide.ts"
import type { WorkerView } from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import type { Command, InternalEvent, Outcome, QueuedRequest, Refusal, WorkerDemand } from "./messages.ts"
import { ModelWorkers, type WorkerLoad } from "./ModelWorkers.ts"
import { WaitingRequests } from "./WaitingRequests.ts"
import { haveSameConstraints, WorkerDemands } from "./WorkerDemands.ts"

interface Running {
  readonly request: QueuedRequest
  readonly load: WorkerLoad
}

type Output = ReadonlyArray<InternalEvent | Command>

/**
 * The requests for one model and the workers that serve it. Each method handles one message and returns the events and
 * commands that follow. The queue shares no state and reads no clock, so it can run in a process of its own.
 */
export class ModelQueue {
  readonly #limits: SchedulerLimits
  readonly #waiting: WaitingRequests
  readonly #running = new TransientMap<string, Running>()
  readonly #workers: ModelWorkers
  readonly #demands: WorkerDemands
  #reason = "choosing a worker"

  constructor(model: string, limits: SchedulerLimits) {
    this.#limits = limits
    this.#waiting = new WaitingRequests(limits.starvationBound)
    this.#workers = new ModelWorkers(limits)
    this.#demands = new WorkerDemands(model, limits.scaleAfter)
  }

  /** Whether the queue holds no state that would be lost. */
  get isEmpty() {
    return this.#waiting.size === 0 && this.#running.size === 0 && this.#workers.isEmpty
  }

  get waiting() {
    return this.#waiting.size
  }

  /** Requests and tokens reserved on all workers. */
  get reserved() {
    return this.#workers.reserved
  }

  get workers(): Iterable<LoadedWorker> {
    return this.#workers
  }

  ask(request: QueuedRequest, now: number): Output {
    const { queueLength } = this.#limits
    // A circuit breaker may have closed since the last tick.
    const before = this.#waiting.size >= queueLength ? this.#assign(now) : []
    if (this.#waiting.size >= queueLength) {
      return [...before, refuse(request.id, { _tag: "QueueFull", limit: queueLength })]
    }
    if (request.servingOnly === true && !this.#workers.canServeElsewhere(request, now)) {
      return [...before, refuse(request.id, { _tag: "NoOtherWorker" })]
    }
    this.#waiting.add(request)
    const done = [...before, ...this.#assign(now)]
    if (!this.#waiting.has(request.id)) return done
    return [{ _tag: "Waits", id: request.id, position: this.#waiting.size, why: this.#reason }, ...done]
  }

  leave(id: string, now: number): Output {
    return this.#waiting.remove(id) ? this.#assign(now) : []
  }

  ended(id: string, outcome: Outcome, now: number): Output {
    const running = this.#running.get(id)
    if (running === undefined) return []
    this.#running.delete(id)
    return [...this.#workers.release(running.load, running.request, outcome, now), ...this.#assign(now)]
  }

  /** Replaces the workers of the model by those that the hives report now. */
  update(workers: ReadonlyArray<WorkerView>, now: number): Output {
    return [...this.#workers.update(workers, now), ...this.#assign(now)]
  }

  placed(worker: WorkerView, now: number): Output {
    this.#demands.reset()
    return [...this.#workers.enter(worker, now), ...this.#assign(now)]
  }

  /** Refuses the requests that need such a worker; a request for a smaller context length may still get one. */
  notPlaced(demand: WorkerDemand, refusal: Refusal, now: number): Output {
    this.#demands.reset()
    const { contextSize = 0 } = demand
    const hopeless = this.#waiting.filter(
      (request) =>
        haveSameConstraints(request, demand) &&
        (request.contextSize ?? 0) >= contextSize &&
        !this.#workers.canServe(request)
    )
    return hopeless.length === 0 ? [] : [...this.#refuseAll(hopeless, refusal), ...this.#assign(now)]
  }

  /** Sets why the waiting requests wait. */
  pending(reason: string) {
    this.#reason = reason
  }

  drain(worker: WorkerView, force: boolean): Output {
    return this.#workers.drain(worker, force)
  }

  deleted(worker: WorkerView, now: number): Output {
    this.#workers.delete(worker)
    return this.#assign(now)
  }

  tick(now: number): Output {
    const expired = this.#waiting.filter(({ deadline }) => deadline <= now)
    const refused = expired.map(({ askedAt, id }) => {
      this.#waiting.remove(id)
      return refuse(id, { _tag: "QueueTimeout", waitedMs: now - askedAt, why: this.#reason })
    })
    const assigned = this.#assign(now)
    const idle = this.#waiting.size === 0 ? this.#workers.expired(now) : []
    return [...refused, ...assigned, ...idle]
  }

  /** The positions of the waiting requests, in the order of service. */
  positions(now: number): ReadonlyArray<Command> {
    return this.#waiting
      .inOrder(now)
      .map(({ id }, index) => ({ _tag: "Waits", id, position: index + 1, why: this.#reason }))
  }

  /** Gives workers to waiting requests, refuses those without a chance, and updates the demand for workers. */
  #assign(now: number): Output {
    const done: Array<InternalEvent | Command> = []
    for (let next = this.#startNext(now); next !== undefined; next = this.#startNext(now)) done.push(...next)
    done.push(...this.#refuseUnserved(now))
    if (this.#waiting.size === 0 && this.#running.size === 0) this.#waiting.resetShares()
    done.push(...this.#updateDemand(now))
    return done
  }

  /** Starts the first waiting request that has a worker; each start changes the order of the others. */
  #startNext(now: number): Output | undefined {
    for (const request of this.#waiting.inOrder(now)) {
      const load = this.#workers.choose(request, now)
      if (load === undefined) continue
      this.#waiting.grant(request)
      this.#running.set(request.id, { request, load })
      const { event, sharedTokens } = this.#workers.reserve(load, request, now)
      return [{ _tag: "Run", id: request.id, worker: load.worker, sharedTokens }, event]
    }
    return undefined
  }

  /** Refuses requests for a worker that serves already, when the last one is lost. */
  #refuseUnserved(now: number): ReadonlyArray<Command> {
    const unserved = this.#waiting.filter(
      (request) => request.servingOnly === true && !this.#workers.canServeElsewhere(request, now)
    )
    return this.#refuseAll(unserved, { _tag: "NoOtherWorker" })
  }

  #refuseAll(requests: ReadonlyArray<QueuedRequest>, refusal: Refusal): ReadonlyArray<Command> {
    for (const { id } of requests) this.#waiting.remove(id)
    return requests.map(({ id }) => refuse(id, refusal))
  }

  #updateDemand(now: number): ReadonlyArray<InternalEvent> {
    const waiting = this.#waiting.filter(({ servingOnly }) => servingOnly !== true)
    const unserved = waiting.find((request) => !this.#workers.canServeSoon(request, now))
    if (waiting.length > 0 && unserved === undefined) this.#reason = "all its workers are busy"
    return this.#demands.update(waiting, unserved, now)
  }
}

const refuse = (id: string, refusal: Refusal): Command => ({ _tag: "Refuse", id, refusal })
