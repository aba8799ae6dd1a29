import {
  type Candidate,
  chooseWorker,
  type Decision,
  type LoadedWorker,
  type Requirements
} from "./decide.ts"
import type { HiveView, WorkerView } from "./Fleet.ts"
import type { SchedulerLimits } from "./limits.ts"
import type { Message, InternalEvent, Command } from "./messages.ts"
import { ModelQueue } from "./ModelQueue.ts"
import { PlacementManager } from "./PlacementManager.ts"
import { placeWorker } from "./placeWorker.ts"

const orders: ReadonlySet<string> = new Set([
  "Run",
  "Waits",
  "Refuse",
  "Load",
  "Delete"
] satisfies ReadonlyArray<Command["_tag"]>)

const isOrder = (item: InternalEvent | Command): item is Command => orders.has(item._tag)

/**
 * The queues of all models and the placer, with the post between them. A function of what it was told and when: the
 * daemon drives it with real hives, the simulation with invented ones.
 */
export class SchedulerCore {
  readonly #limits: SchedulerLimits
  readonly #queues = new Map<string, ModelQueue>()
  readonly #modelOf = new Map<string, string>()
  readonly #placer: PlacementManager

  constructor(limits: SchedulerLimits) {
    this.#limits = limits
    this.#placer = new PlacementManager(limits)
  }

  /** Takes a message; gives what is to be done, in order. `now` never goes back. */
  handle(message: Message, now: number): ReadonlyArray<Command> {
    const done: Array<Command> = []
    const post: Array<InternalEvent | Command> = [...this.#take(message, now)]
    for (let next = post.shift(); next !== undefined; next = post.shift()) {
      if (isOrder(next)) {
        if (next._tag === "Refuse") this.#modelOf.delete(next.id)
        done.push(next)
      } else post.push(...this.#deliver(next, now))
    }
    return done
  }

  /** What would be decided now, and what was looked at, without reserving anything. */
  explain(
    wish: Requirements,
    now: number
  ): { readonly decision: Decision; readonly candidates: ReadonlyArray<Candidate> } {
    const candidates: Array<Candidate> = []
    const look = (candidate: Candidate) => void candidates.push(candidate)
    const workers: Iterable<LoadedWorker> = this.#queues.get(wish.model)?.workers ?? []
    const best = chooseWorker(workers, wish, now, this.#limits, look)
    if (best !== undefined) {
      const sharedTokens = best.prefixes.shared(wish.prefixes)
      return { decision: { _tag: "Run", worker: best.worker, sharedTokens }, candidates }
    }
    const rules = {
      mayEvict: true,
      mayDrain: false,
      hive: wish.hive,
      device: wish.device,
      contextSize: wish.contextSize,
      minContext: wish.minContext,
      engine: wish.engine,
      capabilities: wish.capabilities
    }
    const decision = placeWorker(wish.model, this.#placer.view(now), rules, now, this.#limits, look)
    return { decision, candidates }
  }

  /** Where one more worker would be started now: where there is room, else where others would have to go first. */
  place(wish: Requirements & { readonly parallel?: number | undefined }, now: number): Decision {
    const { contextSize, device, hive, model, parallel } = wish
    const decide = (mayEvict: boolean) => {
      const rules = { mayEvict, mayDrain: false, hive, device, contextSize, parallel }
      return placeWorker(model, this.#placer.view(now), rules, now, this.#limits)
    }
    const decision = decide(false)
    return decision._tag === "Wait" ? decide(true) : decision
  }

  /** Where those stand who wait. */
  positions(now: number): ReadonlyArray<Command> {
    return [...this.#queues.values()].flatMap((queue) => queue.positions(now))
  }

  /** What is under way: requests that wait, reservations, loads. */
  get load() {
    let waiting = 0
    let requests = 0
    let tokens = 0
    for (const queue of this.#queues.values()) {
      waiting += queue.waiting
      requests += queue.reserved.requests
      tokens += queue.reserved.tokens
    }
    return { waiting, requests, tokens, loading: this.#placer.loading }
  }

  #queue(model: string) {
    const known = this.#queues.get(model)
    if (known !== undefined) return known
    const queue = new ModelQueue(model, this.#limits)
    this.#queues.set(model, queue)
    return queue
  }

  #take(message: Message, now: number): ReadonlyArray<InternalEvent | Command> {
    switch (message._tag) {
      case "Asked":
        this.#modelOf.set(message.request.id, message.request.model)
        return this.#queue(message.request.model).ask(message.request, now)
      case "Left":
        return this.#finish(message.id, (queue) => queue.leave(message.id, now))
      case "Ended":
        return this.#finish(message.id, (queue) => queue.ended(message.id, message.outcome, now))
      case "Fleet":
        return [...this.#update(message.hives, now), ...this.#placer.fleet(message.hives, now)]
      case "Loaded":
        return this.#placer.loaded(message.load, message.worker, now)
      case "LoadFailed":
        return this.#placer.loadFailed(message.load, message.fault, message.reason, now)
      case "Deleted":
        return [
          ...this.#queue(message.worker.model).deleted(message.worker, now),
          ...this.#placer.deleted(message.worker, now)
        ]
      case "Tick": {
        const done = [...this.#queues.values()].flatMap((queue) => queue.tick(now))
        for (const [model, queue] of this.#queues) if (queue.isEmpty) this.#queues.delete(model)
        return [...done, ...this.#placer.tick(now)]
      }
    }
  }

  #finish(id: string, end: (queue: ModelQueue) => ReadonlyArray<InternalEvent | Command>) {
    const model = this.#modelOf.get(id)
    if (model === undefined) return []
    this.#modelOf.delete(id)
    return end(this.#queue(model))
  }

  #update(hives: ReadonlyArray<HiveView>, now: number) {
    const byModel = new Map<string, Array<WorkerView>>()
    for (const { workers } of hives) {
      for (const worker of workers) {
        const workersOfModel = byModel.get(worker.model)
        if (workersOfModel === undefined) byModel.set(worker.model, [worker])
        else workersOfModel.push(worker)
      }
    }
    const models = new Set([...this.#queues.keys(), ...byModel.keys()])
    return [...models].flatMap((model) => this.#queue(model).update(byModel.get(model) ?? [], now))
  }

  #deliver(note: InternalEvent, now: number): ReadonlyArray<InternalEvent | Command> {
    switch (note._tag) {
      case "Wanted":
        return this.#placer.want(note.demand, now)
      case "Unwanted":
        this.#placer.unwant(note.model)
        return []
      case "Placed":
        return this.#queue(note.worker.model).placed(note.worker, now)
      case "NotPlaced":
        return this.#queue(note.demand.model).notPlaced(note.demand, note.refusal, now)
      case "Used":
        this.#placer.used(note.use)
        return []
      case "Pending":
        this.#queue(note.model).pending(note.why)
        return []
      case "Drain":
        return this.#queue(note.worker.model).drain(note.worker, note.force)
      case "Drained":
        return this.#placer.drained(note.worker, note.granted)
      case "Expired":
        return this.#placer.expired(note.worker)
    }
  }
}
