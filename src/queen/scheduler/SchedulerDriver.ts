import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { TransientMap } from "../../http/TransientMap.ts"
import { type ScheduleError, toError } from "./errors.ts"
import type { WorkerView } from "./Fleet.ts"
import type { Loader } from "./Loader.ts"
import { loadFaultOf } from "./loadFault.ts"
import { LoadPeriods } from "./LoadPeriods.ts"
import type { Command, Message } from "./messages.ts"
import type { SchedulerCore } from "./SchedulerCore.ts"

/** The worker that a request got. */
export interface Assignment {
  readonly worker: WorkerView
  readonly sharedTokens: number
}

/** A request that waits for a worker. */
export interface Waiter {
  readonly assignment: Deferred.Deferred<Assignment, ScheduleError>
  readonly model: string
  readonly narrate: (sentence: string) => void
  /** The last sentence about its position. */
  position?: string
}

/** Passes messages to the core and executes its commands: wakes waiting requests, loads and deletes workers. */
export class SchedulerDriver {
  readonly #core: SchedulerCore
  readonly #loader: Loader["Service"]
  readonly #clock: Clock.Clock
  /** Loads and deletions run in this scope. */
  readonly #scope: Scope.Scope
  readonly #waiters = new TransientMap<string, Waiter>()
  readonly loadPeriods = new LoadPeriods()

  constructor(core: SchedulerCore, loader: Loader["Service"], clock: Clock.Clock, scope: Scope.Scope) {
    this.#core = core
    this.#loader = loader
    this.#clock = clock
    this.#scope = scope
  }

  /** Queues a request; its assignment succeeds or fails when the core decides. */
  ask(waiter: Waiter, request: Extract<Message, { _tag: "Asked" }>["request"]): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#waiters.set(request.id, waiter)
      return this.report({ _tag: "Asked", request })
    })
  }

  /** Removes a request that no longer waits for its assignment. */
  leave(id: string): Effect.Effect<void> {
    return Effect.suspend(() => (this.#waiters.delete(id) ? this.report({ _tag: "Left", id }) : Effect.void))
  }

  report(message: Message): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#executeAll(this.#core.handle(message, this.#clock.currentTimeMillisUnsafe()))
    )
  }

  /** Narrates the positions of all waiting requests. */
  readonly reportPositions = Effect.suspend(() =>
    this.#executeAll(this.#core.positions(this.#clock.currentTimeMillisUnsafe()))
  )

  #executeAll(commands: ReadonlyArray<Command>) {
    return Effect.forEach(commands, (command) => this.#execute(command), { discard: true })
  }

  #execute(command: Command): Effect.Effect<void> {
    switch (command._tag) {
      case "Run":
        return this.#run(command)
      case "Waits":
        return Effect.sync(() => this.#narratePosition(command))
      case "Refuse": {
        const waiter = this.#take(command.id)
        if (waiter === undefined) return Effect.void
        return Effect.asVoid(Deferred.fail(waiter.assignment, toError(waiter.model, command.refusal)))
      }
      case "Load":
        return this.#load(command)
      case "Delete":
        return this.#loader
          .unload(command.worker, command.reason)
          .pipe(
            Effect.andThen(this.report({ _tag: "Deleted", worker: command.worker })),
            Effect.forkIn(this.#scope),
            Effect.asVoid
          )
    }
  }

  #take(id: string) {
    const waiter = this.#waiters.get(id)
    this.#waiters.delete(id)
    return waiter
  }

  #run({ id, sharedTokens, worker }: Extract<Command, { _tag: "Run" }>): Effect.Effect<void> {
    const waiter = this.#take(id)
    // The request left before its worker was assigned.
    if (waiter === undefined) return this.report({ _tag: "Ended", id, outcome: "client" })
    return Effect.asVoid(Deferred.succeed(waiter.assignment, { worker, sharedTokens }))
  }

  #narratePosition({ id, position, why }: Extract<Command, { _tag: "Waits" }>) {
    const waiter = this.#waiters.get(id)
    const sentence = `Waiting in position ${position}: ${why}`
    if (waiter === undefined || waiter.position === sentence) return
    waiter.position = sentence
    waiter.narrate(sentence)
  }

  #load(command: Extract<Command, { _tag: "Load" }>): Effect.Effect<void> {
    const { demand, load } = command
    const end = this.loadPeriods.start(demand.model, this.#clock.currentTimeMillisUnsafe())
    const narrate = (sentence: string) => {
      for (const waiter of this.#waiters.values()) if (waiter.model === demand.model) waiter.narrate(sentence)
    }
    return this.#loader.load(command, narrate).pipe(
      Effect.ensuring(Effect.sync(() => end(this.#clock.currentTimeMillisUnsafe()))),
      Effect.matchEffect({
        onSuccess: (worker) => this.report({ _tag: "Loaded", load, worker }),
        onFailure: (error) =>
          this.report({ _tag: "LoadFailed", load, reason: error.message, fault: loadFaultOf(error) })
      }),
      Effect.forkIn(this.#scope),
      Effect.asVoid
    )
  }
}
