import { chooseWorker, type LoadedWorker, mismatch } from "./decide.ts"
import { isServing, keyOf, type WorkerView } from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import type { InternalEvent, Outcome, QueuedRequest } from "./messages.ts"
import { blockTokens, Prefixes } from "./Prefixes.ts"

/** A worker with its reservations and circuit breaker. */
export interface WorkerLoad extends LoadedWorker {
  worker: WorkerView
  running: number
  outstanding: number
  usedAt: number
  draining: boolean
  /** The placement manager waits for it to be idle. */
  leaving: boolean
  openUntil: number
  pausedUntil: number
  faults: number
}

const busyPause = 250
/** The state of a worker that its hive no longer lists, kept while requests run on it. */
const missing = "missing"

const newLoad = (worker: WorkerView, now: number): WorkerLoad => ({
  worker,
  prefixes: new Prefixes(),
  loadedAt: now,
  running: 0,
  outstanding: 0,
  usedAt: now,
  draining: false,
  leaving: false,
  openUntil: 0,
  pausedUntil: 0,
  faults: 0
})

const usedEvent = ({ loadedAt, running, usedAt, worker }: WorkerLoad): InternalEvent => ({
  _tag: "Used",
  use: { worker, running, usedAt, loadedAt }
})

/** The workers of one model: reservations, circuit breakers and draining. */
export class ModelWorkers {
  readonly #limits: SchedulerLimits
  readonly #loads = new Map<string, WorkerLoad>()

  constructor(limits: SchedulerLimits) {
    this.#limits = limits
  }

  get isEmpty() {
    return this.#loads.size === 0
  }

  [Symbol.iterator](): Iterator<LoadedWorker> {
    return this.#loads.values()
  }

  /** Requests and tokens reserved on all workers. */
  get reserved() {
    let requests = 0
    let tokens = 0
    for (const { outstanding, running } of this.#loads.values()) {
      requests += running
      tokens += outstanding
    }
    return { requests, tokens }
  }

  /** Adds a worker, or updates what its hive reports of it. */
  enter(worker: WorkerView, now: number): ReadonlyArray<InternalEvent> {
    const known = this.#loads.get(keyOf(worker))
    if (known !== undefined) {
      if (known.worker.state === missing) known.draining = false
      known.worker = worker
      return []
    }
    const load = newLoad(worker, now)
    this.#loads.set(keyOf(worker), load)
    return [usedEvent(load)]
  }

  /** Replaces the workers by those that the hives report now. */
  update(workers: ReadonlyArray<WorkerView>, now: number): ReadonlyArray<InternalEvent> {
    const present = new Set(workers.map(keyOf))
    const events = workers.flatMap((worker) => this.enter(worker, now))
    for (const [key, load] of this.#loads) {
      if (present.has(key)) continue
      if (load.leaving) events.push({ _tag: "Drained", worker: load.worker, granted: false })
      load.leaving = false
      // The report may be late: its reservations must be known if the worker reappears.
      if (load.running > 0) load.worker = { ...load.worker, state: missing }
      else this.#loads.delete(key)
    }
    return events
  }

  delete(worker: WorkerView) {
    this.#loads.delete(keyOf(worker))
  }

  /** The best worker for a request now; one that it avoids only if the model has no other. */
  choose(request: QueuedRequest, now: number): WorkerLoad | undefined {
    const { avoid = [], servingOnly = false } = request
    const loads = [...this.#loads.values()]
    const others = avoid.length === 0 ? loads : loads.filter(({ worker }) => !avoid.includes(keyOf(worker)))
    const best =
      chooseWorker(others, request, now, this.#limits) ??
      (others.length === 0 && !servingOnly ? chooseWorker(loads, request, now, this.#limits) : undefined)
    return best === undefined ? undefined : this.#loads.get(keyOf(best.worker))
  }

  /** Holds capacity of the worker for a request; `sharedTokens`: about how many tokens of its prompt are in the prefix cache. */
  reserve(load: WorkerLoad, { prefixes, tokens }: QueuedRequest, now: number) {
    const sharedTokens = load.prefixes.shared(prefixes) * blockTokens
    load.running++
    load.outstanding += tokens
    load.usedAt = now
    load.prefixes.add(prefixes)
    return { sharedTokens, event: usedEvent(load) }
  }

  release(load: WorkerLoad, { tokens }: QueuedRequest, outcome: Outcome, now: number) {
    load.running--
    load.outstanding -= tokens
    load.usedAt = now
    this.#applyOutcome(load, outcome, now)
    if (load.worker.state === missing && load.running === 0) this.#loads.delete(keyOf(load.worker))
    return [usedEvent(load), ...this.#drainedIfIdle(load)]
  }

  /** Stops new requests for a worker; refuses while it works, unless `force`. */
  drain(worker: WorkerView, force: boolean): ReadonlyArray<InternalEvent> {
    const load = this.#loads.get(keyOf(worker))
    if (load === undefined) return [{ _tag: "Drained", worker, granted: false }]
    if (load.draining || (load.running > 0 && !force)) {
      return [{ _tag: "Drained", worker, granted: false }, usedEvent(load)]
    }
    load.draining = true
    load.leaving = true
    return this.#drainedIfIdle(load)
  }

  /** Idle workers that had no request for `idleTtl`. */
  expired(now: number): ReadonlyArray<InternalEvent> {
    return [...this.#loads.values()]
      .filter(
        ({ draining, running, usedAt, worker }) =>
          running === 0 && !draining && isServing(worker) && now - usedAt >= this.#limits.idleTtl
      )
      .map(({ worker }) => ({ _tag: "Expired", worker }))
  }

  /** Whether a worker can serve the request at some time. */
  canServe(request: QueuedRequest) {
    return this.#some(request, () => true)
  }

  /** Whether a worker with a closed circuit breaker can serve the request. */
  canServeSoon(request: QueuedRequest, now: number) {
    return this.#some(request, ({ openUntil }) => openUntil <= now)
  }

  /** Whether a worker with a closed circuit breaker that the request does not avoid can serve it. */
  canServeElsewhere(request: QueuedRequest, now: number) {
    const { avoid = [] } = request
    return this.#some(request, ({ openUntil, worker }) => openUntil <= now && !avoid.includes(keyOf(worker)))
  }

  #some(request: QueuedRequest, test: (load: WorkerLoad) => boolean) {
    for (const load of this.#loads.values()) {
      if (!isServing(load.worker) || load.draining || !test(load)) continue
      if (mismatch(load.worker, request) === undefined) return true
    }
    return false
  }

  #applyOutcome(load: WorkerLoad, outcome: Outcome, now: number) {
    switch (outcome) {
      case "fault":
        load.faults++
        if (load.faults >= this.#limits.breakerFaults) load.openUntil = now + this.#limits.breakerPause
        return
      // An engine's error response proves that the worker is alive.
      case "ok":
      case "engine":
        load.faults = 0
        return
      // The worker has less room than was known; give that time to change.
      case "busy":
        load.pausedUntil = now + busyPause
        return
      case "client":
    }
  }

  #drainedIfIdle(load: WorkerLoad): ReadonlyArray<InternalEvent> {
    if (!load.leaving || load.running > 0) return []
    load.leaving = false
    return [{ _tag: "Drained", worker: load.worker, granted: true }]
  }
}
