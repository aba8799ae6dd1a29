import { TransientMap } from "../../http/TransientMap.ts"
import { chooseWorker, type LoadedWorker, mismatch, type Constraints } from "./decide.ts"
import { isServing, keyOf, type WorkerView } from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import type { QueuedRequest, InternalEvent, Command, Outcome, WorkerDemand, Refusal } from "./messages.ts"
import { Prefixes } from "./Prefixes.ts"

interface Load {
  worker: WorkerView
  readonly prefixes: Prefixes
  readonly loadedAt: number
  running: number
  outstanding: number
  usedAt: number
  draining: boolean
  /** Somebody wants to know when it is idle. */
  leaving: boolean
  openUntil: number
  pausedUntil: number
  faults: number
}

interface Running {
  readonly request: QueuedRequest
  readonly load: Load
}

/**
 * The requests for one model and the workers that serve it. One writer: it is told messages, one after the other, and
 * answers with what is to be done; it shares nothing and knows no clock, so that it can live in a process of its own.
 */
export class ModelQueue {
  readonly model: string
  readonly #limits: SchedulerLimits
  readonly #waiting = new TransientMap<string, QueuedRequest>()
  readonly #running = new TransientMap<string, Running>()
  readonly #loads = new Map<string, Load>()
  /** Tokens that each key had, as long as it has requests here. */
  readonly #served = new Map<string, number>()
  #wanted: "no" | "extra" | "yes" = "no"
  #why = "a worker is looked for"

  constructor(model: string, limits: SchedulerLimits) {
    this.model = model
    this.#limits = limits
  }

  /** Whether nothing would be lost if it were forgotten. */
  get isEmpty() {
    return this.#waiting.size === 0 && this.#running.size === 0 && this.#loads.size === 0
  }

  get waiting() {
    return this.#waiting.size
  }

  /** Requests and tokens that are reserved now, on all workers. */
  get reserved() {
    let requests = 0
    let tokens = 0
    for (const { outstanding, running } of this.#loads.values()) {
      requests += running
      tokens += outstanding
    }
    return { requests, tokens }
  }

  get workers(): Iterable<LoadedWorker> {
    return this.#loads.values()
  }

  ask(request: QueuedRequest, now: number): ReadonlyArray<InternalEvent | Command> {
    const { queueLength } = this.#limits
    // A worker that rested may have become free since the last look.
    const before = this.#waiting.size >= queueLength ? this.#pump(now) : []
    if (this.#waiting.size >= queueLength) {
      return [...before, refuse(request.id, { _tag: "QueueFull", limit: queueLength })]
    }
    if (request.servingOnly === true && !this.#isServedElsewhere(request, now)) {
      return [...before, refuse(request.id, { _tag: "NoOtherWorker" })]
    }
    this.#waiting.set(request.id, request)
    // A key that comes anew is not owed what it did not use.
    const { key } = request
    if (!this.#served.has(key)) {
      const least = Math.min(...this.#served.values())
      this.#served.set(key, Number.isFinite(least) ? least : 0)
    }
    const done = [...before, ...this.#pump(now)]
    if (!this.#waiting.has(request.id)) return done
    return [{ _tag: "Waits", id: request.id, position: this.#waiting.size, why: this.#why }, ...done]
  }

  leave(id: string, now: number): ReadonlyArray<InternalEvent | Command> {
    if (!this.#waiting.delete(id)) return []
    return this.#pump(now)
  }

  ended(id: string, outcome: Outcome, now: number): ReadonlyArray<InternalEvent | Command> {
    const running = this.#running.get(id)
    if (running === undefined) return []
    const { load, request } = running
    this.#running.delete(id)
    load.running--
    load.outstanding -= request.tokens
    load.usedAt = now
    if (outcome === "fault") {
      load.faults++
      if (load.faults >= this.#limits.breakerFaults) load.openUntil = now + this.#limits.breakerPause
    }
    // Whoever answers, though with an error, is alive.
    else if (outcome === "ok" || outcome === "engine") load.faults = 0
    // The worker is fuller than was known; it gets nothing until this has had time to change.
    else if (outcome === "busy") load.pausedUntil = now + busyPause
    if (load.worker.state === gone && load.running === 0) this.#loads.delete(keyOf(load.worker))
    return [usedNote(load), ...this.#leaveIfIdle(load), ...this.#pump(now)]
  }

  /** The workers of the model, as their hives tell of them now. */
  update(workers: ReadonlyArray<WorkerView>, now: number): ReadonlyArray<InternalEvent | Command> {
    const present = new Set(workers.map(keyOf))
    const notes: Array<InternalEvent | Command> = workers.flatMap((worker) => this.#enter(worker, now))
    for (const [key, load] of this.#loads) {
      if (present.has(key)) continue
      if (load.leaving) notes.push({ _tag: "Drained", worker: load.worker, granted: false })
      load.leaving = false
      // It may only be late: what is reserved on it must be known when it is back.
      if (load.running > 0) load.worker = { ...load.worker, state: gone }
      else this.#loads.delete(key)
    }
    return [...notes, ...this.#pump(now)]
  }

  placed(worker: WorkerView, now: number): ReadonlyArray<InternalEvent | Command> {
    this.#wanted = "no"
    return [...this.#enter(worker, now), ...this.#pump(now)]
  }

  /** Those who wait for such a worker get none; one for a smaller context may yet be had. */
  notPlaced(placing: WorkerDemand, refusal: Refusal, now: number): ReadonlyArray<InternalEvent | Command> {
    this.#wanted = "no"
    const { contextSize = 0 } = placing
    const hopeless = [...this.#waiting.values()].filter(
      (request) =>
        needSame(request, placing) && (request.contextSize ?? 0) >= contextSize && !this.#isServed(request)
    )
    if (hopeless.length === 0) return []
    for (const { id } of hopeless) this.#waiting.delete(id)
    return [...hopeless.map(({ id }) => refuse(id, refusal)), ...this.#pump(now)]
  }

  pending(why: string) {
    this.#why = why
  }

  drain(worker: WorkerView, force: boolean): ReadonlyArray<InternalEvent | Command> {
    const load = this.#loads.get(keyOf(worker))
    if (load === undefined) return [{ _tag: "Drained", worker, granted: false }]
    if (load.draining || (load.running > 0 && !force)) {
      return [{ _tag: "Drained", worker, granted: false }, usedNote(load)]
    }
    load.draining = true
    load.leaving = true
    return this.#leaveIfIdle(load)
  }

  /** The worker is gone. */
  deleted(worker: WorkerView, now: number): ReadonlyArray<InternalEvent | Command> {
    this.#loads.delete(keyOf(worker))
    return this.#pump(now)
  }

  tick(now: number): ReadonlyArray<InternalEvent | Command> {
    const orders: Array<InternalEvent | Command> = []
    for (const { askedAt, deadline, id } of this.#waiting.values()) {
      if (deadline > now) continue
      this.#waiting.delete(id)
      orders.push(refuse(id, { _tag: "QueueTimeout", waitedMs: now - askedAt, why: this.#why }))
    }
    orders.push(...this.#pump(now))
    for (const load of this.#loads.values()) {
      const isIdle = load.running === 0 && !load.draining && isServing(load.worker)
      if (isIdle && this.#waiting.size === 0 && now - load.usedAt >= this.#limits.idleTtl) {
        orders.push({ _tag: "Expired", worker: load.worker })
      }
    }
    return orders
  }

  /** Where those stand who wait, in the order in which they will be served. */
  positions(now: number): ReadonlyArray<Command> {
    return this.#inOrder(now).map(({ id }, index) => ({
      _tag: "Waits",
      id,
      position: index + 1,
      why: this.#why
    }))
  }

  #enter(worker: WorkerView, now: number): ReadonlyArray<InternalEvent> {
    const known = this.#loads.get(keyOf(worker))
    if (known !== undefined) {
      if (known.worker.state === gone) known.draining = false
      known.worker = worker
      return []
    }
    const load: Load = {
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
    }
    this.#loads.set(keyOf(worker), load)
    return [usedNote(load)]
  }

  #leaveIfIdle(load: Load): ReadonlyArray<InternalEvent> {
    if (!load.leaving || load.running > 0) return []
    load.leaving = false
    return [{ _tag: "Drained", worker: load.worker, granted: true }]
  }

  /** Whether a worker is there that will take the request at some time. */
  #isServed(request: QueuedRequest) {
    for (const { draining, worker } of this.#loads.values()) {
      if (isServing(worker) && !draining && mismatch(worker, request) === undefined) return true
    }
    return false
  }

  /** The same, of workers that do not rest. */
  #isServedSoon(request: QueuedRequest, now: number) {
    for (const { draining, openUntil, worker } of this.#loads.values()) {
      const takesNew = isServing(worker) && !draining && openUntil <= now
      if (takesNew && mismatch(worker, request) === undefined) return true
    }
    return false
  }

  /** The same, of workers that the request does not avoid. */
  #isServedElsewhere({ avoid = [], ...request }: QueuedRequest, now: number) {
    for (const { draining, openUntil, worker } of this.#loads.values()) {
      const takesNew = isServing(worker) && !draining && openUntil <= now && !avoid.includes(keyOf(worker))
      if (takesNew && mismatch(worker, request) === undefined) return true
    }
    return false
  }

  /** Those who wait for a worker that serves already, when the last such has gone. */
  #refuseUnserved(now: number): ReadonlyArray<Command> {
    const unserved = [...this.#waiting.values()].filter(
      (request) => request.servingOnly === true && !this.#isServedElsewhere(request, now)
    )
    for (const { id } of unserved) this.#waiting.delete(id)
    return unserved.map(({ id }) => refuse(id, { _tag: "NoOtherWorker" }))
  }

  /** Who has waited too long goes first, then the higher priority, then the key that had the least, then who came first. */
  #inOrder(now: number): ReadonlyArray<QueuedRequest> {
    const { starvationBound } = this.#limits
    const served = ({ key }: QueuedRequest) => this.#served.get(key) ?? 0
    const isStarving = ({ askedAt }: QueuedRequest) => now - askedAt >= starvationBound
    return [...this.#waiting.values()].sort(
      (left, right) =>
        Number(isStarving(right)) - Number(isStarving(left)) ||
        (isStarving(left)
          ? left.askedAt - right.askedAt
          : right.priority - left.priority || served(left) - served(right) || left.askedAt - right.askedAt)
    )
  }

  #start(request: QueuedRequest, load: Load, now: number): ReadonlyArray<InternalEvent | Command> {
    const { id, key, prefixes, tokens } = request
    const sharedTokens = load.prefixes.shared(prefixes)
    this.#waiting.delete(id)
    this.#running.set(id, { request, load })
    load.running++
    load.outstanding += tokens
    load.usedAt = now
    load.prefixes.add(prefixes)
    this.#served.set(key, (this.#served.get(key) ?? 0) + tokens)
    return [{ _tag: "Run", id, worker: load.worker, sharedTokens }, usedNote(load)]
  }

  #choose(request: QueuedRequest, now: number) {
    const { avoid = [], servingOnly = false } = request
    const loads = [...this.#loads.values()]
    const others = avoid.length === 0 ? loads : loads.filter(({ worker }) => !avoid.includes(keyOf(worker)))
    const best =
      chooseWorker(others, request, now, this.#limits) ??
      (others.length === 0 && !servingOnly ? chooseWorker(loads, request, now, this.#limits) : undefined)
    return best === undefined ? undefined : this.#loads.get(keyOf(best.worker))
  }

  #pump(now: number): ReadonlyArray<InternalEvent | Command> {
    const done: Array<InternalEvent | Command> = []
    while (this.#waiting.size > 0) {
      let started = false
      for (const request of this.#waiting.size === 1 ? this.#waiting.values() : this.#inOrder(now)) {
        const load = this.#choose(request, now)
        if (load === undefined) continue
        done.push(...this.#start(request, load, now))
        // What was served changes who is next.
        started = true
        break
      }
      if (!started) break
    }
    done.push(...this.#refuseUnserved(now))
    if (this.#waiting.size === 0 && this.#running.size === 0) this.#served.clear()
    done.push(...this.#want(now))
    return done
  }

  #want(now: number): ReadonlyArray<InternalEvent> {
    const waiting = [...this.#waiting.values()].filter(({ servingOnly }) => servingOnly !== true)
    const [first] = waiting
    if (first === undefined) {
      if (this.#wanted === "no") return []
      this.#wanted = "no"
      return [{ _tag: "Unwanted", model: this.model }]
    }
    const unserved = waiting.find((request) => !this.#isServedSoon(request, now))
    const suited = unserved === undefined
    const wanting = unserved ?? first
    let since = wanting.askedAt
    let contextSize = 0
    let minContext = 0
    for (const request of waiting) {
      if (!needSame(request, wanting)) continue
      since = Math.min(since, request.askedAt)
      contextSize = Math.max(contextSize, request.contextSize ?? 0)
      minContext = Math.max(minContext, request.minContext ?? 0)
    }
    if (suited) this.#why = "all its workers are busy"
    if (suited && now - since < this.#limits.scaleAfter) {
      if (this.#wanted !== "yes") return []
      this.#wanted = "no"
      return [{ _tag: "Unwanted", model: this.model }]
    }
    const kind = suited ? "extra" : "yes"
    if (this.#wanted === kind) return []
    this.#wanted = kind
    const { capabilities, device, engine, hive, parallel } = wanting
    const placing = { model: this.model, since, extra: suited, hive, device, parallel, engine, capabilities }
    const size = contextSize === 0 ? { minContext } : { contextSize }
    return [{ _tag: "Wanted", placing: { ...placing, ...size } }]
  }
}

const busyPause = 250
const gone = "gone"

const usedNote = ({ loadedAt, running, usedAt, worker }: Load): InternalEvent => ({
  _tag: "Used",
  use: { worker, running, usedAt, loadedAt }
})

const needSame = (left: Constraints, right: Constraints) =>
  left.hive === right.hive &&
  left.device === right.device &&
  left.engine === right.engine &&
  String(left.capabilities) === String(right.capabilities)

const refuse = (id: string, refusal: Refusal): Command => ({ _tag: "Refuse", id, refusal })
