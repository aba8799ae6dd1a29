import { type Decision, mismatch, type WorkerUse } from "./decide.ts"
import { type DeviceView, type HiveView, isServing, keyOf, type WorkerView } from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import { type LoadPlace, LoadCooldowns } from "./LoadCooldowns.ts"
import type { Command, InternalEvent, LoadFault, Refusal, WorkerDemand } from "./messages.ts"
import { type PlacementView, placeWorker } from "./placeWorker.ts"

interface Loading extends LoadPlace {
  readonly demand: WorkerDemand
}

interface Leaving {
  readonly worker: WorkerView
  /** The model that needs its memory; undefined when the worker expired. */
  readonly room: string | undefined
  /** Its queue has drained it, and its hive deletes it. */
  readonly granted: boolean
}

/**
 * Decides which workers are started and evicted, for all models. It accounts for memory that is free, reserved for loading
 * workers, or about to be freed. Handles one message at a time, like a `ModelQueue`.
 */
export class PlacementManager {
  readonly #limits: SchedulerLimits
  #hives: ReadonlyMap<string, HiveView> = new Map()
  readonly #wanted = new Map<string, WorkerDemand>()
  readonly #loading = new Map<string, Loading>()
  readonly #leaving = new Map<string, Leaving>()
  readonly #cooldowns: LoadCooldowns
  /** By hive and by id: one decision reads hundreds of them. */
  readonly #uses = new Map<string, Map<string, WorkerUse>>()
  /** Workers that this scheduler started, and may stop when they are idle. */
  readonly #own = new Set<string>()
  #loads = 0

  constructor(limits: SchedulerLimits) {
    this.#limits = limits
    this.#cooldowns = new LoadCooldowns(limits.loadPause)
  }

  get loading() {
    return this.#loading.size
  }

  want(demand: WorkerDemand, now: number): ReadonlyArray<InternalEvent | Command> {
    this.#wanted.set(demand.model, demand)
    return this.#place(now)
  }

  unwant(model: string) {
    this.#wanted.delete(model)
  }

  fleet(hives: ReadonlyArray<HiveView>, now: number): ReadonlyArray<InternalEvent | Command> {
    this.#hives = new Map(hives.map((hive) => [hive.id, hive]))
    const present = new Set(hives.flatMap(({ workers }) => workers.map(keyOf)))
    for (const key of this.#own) if (!present.has(key)) this.#own.delete(key)
    for (const uses of this.#uses.values()) {
      for (const [id, { worker }] of uses) if (!present.has(keyOf(worker))) uses.delete(id)
    }
    return this.#place(now)
  }

  loaded(load: string, worker: WorkerView, now: number): ReadonlyArray<InternalEvent | Command> {
    const loading = this.#loading.get(load)
    if (loading === undefined) return []
    this.#loading.delete(load)
    this.#cooldowns.loaded(loading)
    this.#own.add(keyOf(worker))
    const hive = this.#hives.get(worker.hive)
    const reported = hive?.workers.find(({ id }) => id === worker.id)
    // Corrects the view until the hive's next inventory, which the worker's memory is missing from while it starts.
    if (hive !== undefined && (reported === undefined || !isServing(reported))) {
      const devices = hive.devices.map((device) =>
        device.id === worker.device ? { ...device, freeBytes: device.freeBytes - worker.memoryBytes } : device
      )
      const others = hive.workers.filter((other) => other !== reported)
      this.#put({ ...hive, devices, workers: [...others, worker] })
    }
    // The queue demands again what this worker cannot serve.
    this.#wanted.delete(worker.model)
    return [{ _tag: "Placed", worker }, ...this.#place(now)]
  }

  /** Tries another place; if there is none, the waiting requests are refused. */
  loadFailed(
    load: string,
    fault: LoadFault,
    reason: string,
    now: number
  ): ReadonlyArray<InternalEvent | Command> {
    const loading = this.#loading.get(load)
    if (loading === undefined) return []
    this.#loading.delete(load)
    this.#cooldowns.failed(loading, fault, reason, now)
    const retry = this.#place(now)
    return fault === "full" ? [...retry, { _tag: "Pending", model: loading.model, why: reason }] : retry
  }

  drained(worker: WorkerView, granted: boolean): ReadonlyArray<InternalEvent | Command> {
    const leaving = this.#leaving.get(keyOf(worker))
    if (leaving === undefined) return []
    if (!granted) {
      this.#leaving.delete(keyOf(worker))
      // The use of the worker was out of date; its queue reports it again, if it knows the worker. Only the next tick tries
      // again, since trying at once could loop forever.
      this.#uses.get(worker.hive)?.delete(worker.id)
      return []
    }
    this.#leaving.set(keyOf(worker), { ...leaving, granted: true })
    const reason =
      leaving.room === undefined ? "idle (scheduler.idle_ttl)" : `its memory is needed for ${leaving.room}`
    return [{ _tag: "Delete", worker, reason }]
  }

  deleted(worker: WorkerView, now: number): ReadonlyArray<InternalEvent | Command> {
    const key = keyOf(worker)
    const hive = this.#hives.get(worker.hive)
    if (hive?.workers.some((other) => keyOf(other) === key) === true) {
      const devices = hive.devices.map((device) =>
        device.id === worker.device ? { ...device, freeBytes: device.freeBytes + worker.memoryBytes } : device
      )
      this.#put({ ...hive, devices, workers: hive.workers.filter((other) => keyOf(other) !== key) })
    }
    this.#leaving.delete(key)
    this.#own.delete(key)
    this.#uses.get(worker.hive)?.delete(worker.id)
    return this.#place(now)
  }

  /** Records the use of a worker, reported by its queue. */
  used(use: WorkerUse) {
    const { hive, id } = use.worker
    const uses = this.#uses.get(hive) ?? new Map<string, WorkerUse>()
    this.#uses.set(hive, uses.set(id, use))
  }

  expired(worker: WorkerView): ReadonlyArray<InternalEvent | Command> {
    const key = keyOf(worker)
    if (!this.#own.has(key) || this.#leaving.has(key)) return []
    this.#leaving.set(key, { worker, room: undefined, granted: false })
    return [{ _tag: "Drain", worker, force: false }]
  }

  tick(now: number): ReadonlyArray<InternalEvent | Command> {
    this.#cooldowns.tick(now)
    return this.#place(now)
  }

  /** The state that placements consider. */
  view(now: number): PlacementView {
    return {
      hives: this.#hives.values(),
      useOf: (worker) =>
        this.#leaving.size > 0 && this.#leaving.has(keyOf(worker))
          ? undefined
          : this.#uses.get(worker.hive)?.get(worker.id),
      freeBytes: (hive, device) => this.#freeBytes(hive, device),
      cooldownOf: (place) => this.#cooldowns.of(place, now)
    }
  }

  #put(hive: HiveView) {
    this.#hives = new Map(this.#hives).set(hive.id, hive)
  }

  #freeBytes(hive: HiveView, device: DeviceView) {
    let free = device.freeBytes
    for (const loading of this.#loading.values()) {
      if (loading.hive === hive.id && loading.device === device.id) free -= loading.memoryBytes
    }
    return free
  }

  /** Whether a hive is starting a worker that meets the demand, whoever requested it. */
  #isStarting(demand: WorkerDemand) {
    for (const { workers } of this.#hives.values()) {
      const isSuitable = (worker: WorkerView) =>
        worker.model === demand.model && worker.state === "starting" && mismatch(worker, demand) === undefined
      if (workers.some(isSuitable)) return true
    }
    return false
  }

  #isMakingRoomFor(model: string) {
    for (const { room } of this.#leaving.values()) if (room === model) return true
    return false
  }

  #place(now: number): ReadonlyArray<InternalEvent | Command> {
    const done: Array<InternalEvent | Command> = []
    const oldestFirst = [...this.#wanted.values()].sort(
      (left, right) => Number(left.extra) - Number(right.extra) || left.since - right.since
    )
    for (const demand of oldestFirst) done.push(...this.#placeOne(demand, now))
    return done
  }

  #placeOne(demand: WorkerDemand, now: number): ReadonlyArray<InternalEvent | Command> {
    const { capabilities, contextSize, device, engine, extra, hive, minContext, model, parallel, since } =
      demand
    const isLoading =
      [...this.#loading.values()].some((loading) => loading.demand.model === model) ||
      this.#isStarting(demand)
    if (isLoading || this.#isMakingRoomFor(model)) return []
    const rules = {
      mayEvict: !extra,
      mayDrain: !extra && now - since >= this.#limits.starvationBound,
      hive,
      device,
      contextSize,
      minContext,
      parallel,
      engine,
      capabilities
    }
    const decision = placeWorker(model, this.view(now), rules, now, this.#limits)
    switch (decision._tag) {
      case "Run":
        return []
      case "Wait":
        return extra ? [] : [{ _tag: "Pending", model, why: decision.reason }]
      case "Failed": {
        if (extra) return []
        const { reason, until } = decision
        return this.#refuse(demand, { _tag: "LoadFailed", reason, retryAfterMs: until - now })
      }
      case "Incapable":
        return this.#refuse(demand, decision)
      case "Impossible":
        return this.#refuse(demand, { _tag: "Impossible", reason: decision.reason })
      case "Place":
        return decision.evict.length > 0
          ? this.#evict(model, decision.evict, rules.mayDrain)
          : this.#load(demand, decision)
    }
  }

  #refuse(demand: WorkerDemand, refusal: Refusal): ReadonlyArray<InternalEvent> {
    this.#wanted.delete(demand.model)
    return demand.extra ? [] : [{ _tag: "NotPlaced", demand, refusal }]
  }

  #evict(model: string, workers: ReadonlyArray<WorkerView>, force: boolean): ReadonlyArray<InternalEvent> {
    for (const worker of workers) this.#leaving.set(keyOf(worker), { worker, room: model, granted: false })
    const names = workers.map(({ id }) => id).join(", ")
    return [
      { _tag: "Pending", model, why: `evicting worker ${names} to free memory` },
      ...workers.map((worker): InternalEvent => ({ _tag: "Drain", worker, force }))
    ]
  }

  #load(
    demand: WorkerDemand,
    { device, engine, hive, memoryBytes, revision, shape }: Extract<Decision, { _tag: "Place" }>
  ): ReadonlyArray<InternalEvent | Command> {
    const { model } = demand
    const load = `load-${++this.#loads}`
    this.#loading.set(load, { hive, device, model, revision, engine, memoryBytes, demand })
    const sized =
      shape === undefined ? demand : { ...demand, contextSize: shape.contextSize, parallel: shape.slots }
    return [
      { _tag: "Pending", model, why: `loading it on ${hive}/${device}` },
      { _tag: "Load", load, hive, device, engine, demand: sized }
    ]
  }
}
