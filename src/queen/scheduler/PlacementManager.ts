import { mismatch, type WorkerUse } from "./decide.ts"
import { type DeviceView, type HiveView, isServing, keyOf, type WorkerView } from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import { type LoadPlace, LoadRests } from "./LoadRests.ts"
import type { LoadFault, InternalEvent, Command, WorkerDemand } from "./messages.ts"
import { type PlacementView, placeWorker } from "./placeWorker.ts"

interface Loading extends LoadPlace {
  readonly demand: WorkerDemand
}

interface Leaving {
  readonly worker: WorkerView
  /** The model that the room is for; nothing when the worker only goes. */
  readonly room: string | undefined
  /** Its queue has let it go, and its hive was told. */
  readonly granted: boolean
}

/**
 * Decides which workers are started and which go, for all models: the one who knows what memory is free, on its way or
 * about to be given back. Told messages one after the other, like a `ModelQueue`.
 */
export class PlacementManager {
  readonly #limits: SchedulerLimits
  #hives: ReadonlyMap<string, HiveView> = new Map()
  readonly #wanted = new Map<string, WorkerDemand>()
  readonly #loading = new Map<string, Loading>()
  readonly #leaving = new Map<string, Leaving>()
  readonly #rests: LoadRests
  /** By hive and by id: a decision asks for hundreds of them. */
  readonly #uses = new Map<string, Map<string, WorkerUse>>()
  /** Workers that this scheduler started, and so may end when nobody asks for them. */
  readonly #own = new Set<string>()
  #loads = 0

  constructor(limits: SchedulerLimits) {
    this.#limits = limits
    this.#rests = new LoadRests(limits.loadPause)
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
    this.#rests.loaded(loading)
    this.#own.add(keyOf(worker))
    const hive = this.#hives.get(worker.hive)
    const told = hive?.workers.find(({ id }) => id === worker.id)
    // Until the hive tells of itself again. If it told of a worker that was still starting, its memory was free by then.
    if (hive !== undefined && (told === undefined || !isServing(told))) {
      const devices = hive.devices.map((device) =>
        device.id === worker.device ? { ...device, freeBytes: device.freeBytes - worker.memoryBytes } : device
      )
      const others = hive.workers.filter((other) => other !== told)
      this.#put({ ...hive, devices, workers: [...others, worker] })
    }
    // Its queue wants again what this worker does not serve.
    this.#wanted.delete(worker.model)
    return [{ _tag: "Placed", worker }, ...this.#place(now)]
  }

  /** It is tried again where that may help; if there is no such place, those who want the model are refused. */
  loadFailed(
    load: string,
    fault: LoadFault,
    reason: string,
    now: number
  ): ReadonlyArray<InternalEvent | Command> {
    const loading = this.#loading.get(load)
    if (loading === undefined) return []
    this.#loading.delete(load)
    this.#rests.failed(loading, fault, reason, now)
    const again = this.#place(now)
    return fault === "full" ? [...again, { _tag: "Pending", model: loading.model, why: reason }] : again
  }

  drained(worker: WorkerView, granted: boolean): ReadonlyArray<InternalEvent | Command> {
    const leaving = this.#leaving.get(keyOf(worker))
    if (leaving === undefined) return []
    if (!granted) {
      this.#leaving.delete(keyOf(worker))
      // How it is used is not what was thought: its queue says it anew, if it knows the worker. The next tick tries
      // again; to do so at once could go on for ever.
      this.#uses.get(worker.hive)?.delete(worker.id)
      return []
    }
    this.#leaving.set(keyOf(worker), { ...leaving, granted: true })
    const reason =
      leaving.room === undefined
        ? "nobody asked for it for a while"
        : `its memory is needed for ${leaving.room}`
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

  /** The queue of its model tells how a worker is used. */
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
    this.#rests.tick(now)
    return this.#place(now)
  }

  /** What a placement looks at. */
  view(now: number): PlacementView {
    return {
      hives: this.#hives.values(),
      useOf: (worker) =>
        this.#leaving.size > 0 && this.#leaving.has(keyOf(worker))
          ? undefined
          : this.#uses.get(worker.hive)?.get(worker.id),
      freeBytes: (hive, device) => this.#freeBytes(hive, device),
      restOf: (place) => this.#rests.of(place, now)
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

  /** Whether a hive starts a worker that will do, for whomever. */
  #isStarting(demand: WorkerDemand) {
    for (const { workers } of this.#hives.values()) {
      const isComing = (worker: WorkerView) =>
        worker.model === demand.model && worker.state === "starting" && mismatch(worker, demand) === undefined
      if (workers.some(isComing)) return true
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
    const isOnItsWay =
      [...this.#loading.values()].some((loading) => loading.demand.model === model) ||
      this.#isStarting(demand)
    if (isOnItsWay || this.#isMakingRoomFor(model)) return []
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
        this.#wanted.delete(model)
        const { reason, until } = decision
        const refusal = { _tag: "LoadFailed", reason, retryAfterMs: until - now } as const
        return [{ _tag: "NotPlaced", demand, refusal }]
      }
      case "Incapable": {
        this.#wanted.delete(model)
        return extra ? [] : [{ _tag: "NotPlaced", demand, refusal: decision }]
      }
      case "Impossible": {
        this.#wanted.delete(model)
        if (extra) return []
        return [{ _tag: "NotPlaced", demand, refusal: { _tag: "Impossible", reason: decision.reason } }]
      }
      case "Place": {
        if (decision.evict.length > 0) {
          for (const worker of decision.evict) {
            this.#leaving.set(keyOf(worker), { worker, room: model, granted: false })
          }
          const names = decision.evict.map(({ id }) => id).join(", ")
          return [
            { _tag: "Pending", model, why: `worker ${names} goes first, to make room` },
            ...decision.evict.map((worker): InternalEvent => ({
              _tag: "Drain",
              worker,
              force: rules.mayDrain
            }))
          ]
        }
        const load = `load-${++this.#loads}`
        const { device: to, engine: by, hive: on, memoryBytes, revision, shape } = decision
        this.#loading.set(load, { hive: on, device: to, model, revision, engine: by, memoryBytes, demand })
        const sized =
          shape === undefined ? demand : { ...demand, contextSize: shape.contextSize, parallel: shape.slots }
        return [
          { _tag: "Pending", model, why: `a worker loads it on ${on}/${to}` },
          { _tag: "Load", load, hive: on, device: to, engine: by, demand: sized }
        ]
      }
    }
  }
}
