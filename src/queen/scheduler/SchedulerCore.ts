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
import { blockTokens } from "./Prefixes.ts"

const commands: ReadonlySet<string> = new Set([
  "Run",
  "Waits",
  "Refuse",
  "Load",
  "Delete"
] satisfies ReadonlyArray<Command["_tag"]>)

const isCommand = (item: InternalEvent | Command): item is Command => commands.has(item._tag)

/**
 * The queues of all models and the placement manager, and the delivery of events between them. It is deterministic in its
 * messages and their times: the daemon drives it with real hives, the simulation with simulated ones.
 */
export class SchedulerCore {
  readonly #limits: SchedulerLimits
  readonly #queues = new Map<string, ModelQueue>()
  readonly #modelOf = new Map<string, string>()
  readonly #placement: PlacementManager

  constructor(limits: SchedulerLimits) {
    this.#limits = limits
    this.#placement = new PlacementManager(limits)
  }

  /** Handles a message; returns the commands to execute, in order. `now` never decreases. */
  handle(message: Message, now: number): ReadonlyArray<Command> {
    const done: Array<Command> = []
    const pending: Array<InternalEvent | Command> = [...this.#route(message, now)]
    for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
      if (isCommand(next)) {
        if (next._tag === "Refuse") this.#modelOf.delete(next.id)
        done.push(next)
      } else pending.push(...this.#deliver(next, now))
    }
    return done
  }

  /** The decision that a request would get now, with the candidates considered; reserves nothing. */
  explain(
    requirements: Requirements,
    now: number
  ): { readonly decision: Decision; readonly candidates: ReadonlyArray<Candidate> } {
    const candidates: Array<Candidate> = []
    const onCandidate = (candidate: Candidate) => void candidates.push(candidate)
    const workers: Iterable<LoadedWorker> = this.#queues.get(requirements.model)?.workers ?? []
    const best = chooseWorker(workers, requirements, now, this.#limits, onCandidate)
    if (best !== undefined) {
      const sharedTokens = best.prefixes.shared(requirements.prefixes) * blockTokens
      return { decision: { _tag: "Run", worker: best.worker, sharedTokens }, candidates }
    }
    const rules = {
      mayEvict: true,
      mayDrain: false,
      hive: requirements.hive,
      device: requirements.device,
      contextSize: requirements.contextSize,
      minContext: requirements.minContext,
      engine: requirements.engine,
      capabilities: requirements.capabilities
    }
    const decision = placeWorker(
      requirements.model,
      this.#placement.view(now),
      rules,
      now,
      this.#limits,
      onCandidate
    )
    return { decision, candidates }
  }

  /** The place where one more worker would be started now, without evictions if possible. */
  place(requirements: Requirements & { readonly parallel?: number | undefined }, now: number): Decision {
    const { contextSize, device, hive, model, parallel } = requirements
    const decide = (mayEvict: boolean) => {
      const rules = { mayEvict, mayDrain: false, hive, device, contextSize, parallel }
      return placeWorker(model, this.#placement.view(now), rules, now, this.#limits)
    }
    const decision = decide(false)
    return decision._tag === "Wait" ? decide(true) : decision
  }

  /** The positions of all waiting requests. */
  positions(now: number): ReadonlyArray<Command> {
    return [...this.#queues.values()].flatMap((queue) => queue.positions(now))
  }

  /** The numbers of waiting requests, reservations and loads. */
  get load() {
    let waiting = 0
    let requests = 0
    let tokens = 0
    for (const queue of this.#queues.values()) {
      waiting += queue.waiting
      requests += queue.reserved.requests
      tokens += queue.reserved.tokens
    }
    return { waiting, requests, tokens, loading: this.#placement.loading }
  }

  #queue(model: string) {
    const known = this.#queues.get(model)
    if (known !== undefined) return known
    const queue = new ModelQueue(model, this.#limits)
    this.#queues.set(model, queue)
    return queue
  }

  #route(message: Message, now: number): ReadonlyArray<InternalEvent | Command> {
    switch (message._tag) {
      case "Asked":
        this.#modelOf.set(message.request.id, message.request.model)
        return this.#queue(message.request.model).ask(message.request, now)
      case "Left":
        return this.#finish(message.id, (queue) => queue.leave(message.id, now))
      case "Ended":
        return this.#finish(message.id, (queue) => queue.ended(message.id, message.outcome, now))
      case "Fleet":
        return [...this.#update(message.hives, now), ...this.#placement.fleet(message.hives, now)]
      case "Loaded":
        return this.#placement.loaded(message.load, message.worker, now)
      case "LoadFailed":
        return this.#placement.loadFailed(message.load, message.fault, message.reason, now)
      case "Deleted":
        return [
          ...this.#queue(message.worker.model).deleted(message.worker, now),
          ...this.#placement.deleted(message.worker, now)
        ]
      case "Tick": {
        const done = [...this.#queues.values()].flatMap((queue) => queue.tick(now))
        for (const [model, queue] of this.#queues) if (queue.isEmpty) this.#queues.delete(model)
        return [...done, ...this.#placement.tick(now)]
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

  #deliver(event: InternalEvent, now: number): ReadonlyArray<InternalEvent | Command> {
    switch (event._tag) {
      case "Wanted":
        return this.#placement.want(event.demand, now)
      case "Unwanted":
        this.#placement.unwant(event.model)
        return []
      case "Placed":
        return this.#queue(event.worker.model).placed(event.worker, now)
      case "NotPlaced":
        return this.#queue(event.demand.model).notPlaced(event.demand, event.refusal, now)
      case "Used":
        this.#placement.used(event.use)
        return []
      case "Pending":
        this.#queue(event.model).pending(event.why)
        return []
      case "Drain":
        return this.#queue(event.worker.model).drain(event.worker, event.force)
      case "Drained":
        return this.#placement.drained(event.worker, event.granted)
      case "Expired":
        return this.#placement.expired(event.worker)
    }
  }
}
