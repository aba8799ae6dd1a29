import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { addFinalizer } from "../../http/scopeFinalizers.ts"
import { traced } from "../../http/traced.ts"
import { Settings } from "../../settings/Settings.ts"
import type { Decision, Requirements } from "./decide.ts"
import type { ScheduleError } from "./errors.ts"
import { type Explanation, Explanations } from "./Explanations.ts"
import { FleetUpdates } from "./FleetUpdates.ts"
import { FleetView } from "./FleetView.ts"
import { schedulerLimits } from "./limits.ts"
import { Loader } from "./Loader.ts"
import type { Outcome, QueuedRequest } from "./messages.ts"
import { SchedulerCore } from "./SchedulerCore.ts"
import { type Assignment, SchedulerDriver } from "./SchedulerDriver.ts"

/** A worker's capacity, held for one request. Times in milliseconds. */
export interface Reservation extends Assignment {
  readonly queueMs: number
  /** The part of `queueMs` in which a worker was loading the model. */
  readonly loadMs: number
  /** Ends the reservation with the outcome of the request. Only the first call counts. */
  readonly release: (outcome: Outcome) => Effect.Effect<void>
}

/** A request for a worker. */
export type ReservationRequest = Omit<QueuedRequest, "askedAt" | "deadline"> & {
  /** 1 for the first attempt, more after a worker failed the request. */
  readonly attempt: number
  /** The longest wait in milliseconds; absent: `timeouts.queue`. */
  readonly waitMs?: number | undefined
}

/** Assigns requests to workers: queues, reservations, placement and eviction for all hives. */
export class Scheduler extends Context.Service<
  Scheduler,
  {
    /** Waits for a worker, and narrates meanwhile. Closing the scope releases the worker at the latest. */
    readonly reserve: (
      request: ReservationRequest,
      narrate: (sentence: string) => void
    ) => Effect.Effect<Reservation, ScheduleError, Scope.Scope>
    /** The decision that a request would get now; reserves nothing. */
    readonly explain: (requirements: Requirements) => Effect.Effect<Explanation>
    /** The place where one more worker for the model would be started now; reserves nothing. */
    readonly place: (
      requirements: Requirements & { readonly parallel?: number | undefined }
    ) => Effect.Effect<Decision>
    /** The decisions for the request with this id, one for each attempt; kept for the last 256 requests. */
    readonly explained: (id: string) => ReadonlyArray<Explanation>
    /** The numbers of waiting requests, reservations and loads. */
    readonly load: Effect.Effect<SchedulerCore["load"]>
  }
>()("rbee/queen/scheduler/Scheduler") {
  static readonly layerNoDeps = Layer.effect(
    Scheduler,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const { scheduler, timeouts } = yield* Settings
  const core = new SchedulerCore(schedulerLimits(scheduler))
  const driver = new SchedulerDriver(core, yield* Loader, clock, yield* Effect.scope)
  const fleet = new FleetUpdates(yield* FleetView, core, driver, clock)
  yield* Effect.forkScoped(fleet.rounds)
  const explanations = new Explanations()

  /** Ends a request once, when its scope closes at the latest. */
  const releaseOnce = Effect.fnUntraced(function* (id: string) {
    let isReleased = false
    const release = (outcome: Outcome) =>
      Effect.suspend(() => {
        if (isReleased) return Effect.void
        isReleased = true
        return driver.report({ _tag: "Ended", id, outcome })
      })
    yield* addFinalizer((exit) =>
      Effect.andThen(driver.leave(id), release(Exit.isSuccess(exit) ? "ok" : "client"))
    )
    return release
  })

  const awaitAssignment = (assignment: Deferred.Deferred<Assignment, ScheduleError>, deadline: number) => {
    if (Deferred.isDoneUnsafe(assignment)) return Deferred.await(assignment)
    // The next round would refuse the request up to half a second later.
    const expire = Effect.sleep(deadline - clock.currentTimeMillisUnsafe() + 1).pipe(
      Effect.andThen(driver.report({ _tag: "Tick" })),
      Effect.andThen(Effect.never)
    )
    return Effect.raceFirst(Deferred.await(assignment), expire)
  }

  return Scheduler.of({
    load: Effect.sync(() => core.load),
    explain: Effect.fn("Scheduler.explain")(function* (requirements) {
      yield* fleet.update
      return core.explain(requirements, clock.currentTimeMillisUnsafe())
    }),
    place: Effect.fn("Scheduler.place")(function* (requirements) {
      yield* fleet.update
      return core.place(requirements, clock.currentTimeMillisUnsafe())
    }),
    explained: (id) => explanations.get(id),
    reserve: Effect.fnUntraced(
      function* ({ attempt, waitMs, ...asked }, narrate) {
        const { model } = asked
        const id = attempt === 1 ? asked.id : `${asked.id}#${attempt}`
        const askedAt = clock.currentTimeMillisUnsafe()
        const deadline = askedAt + (waitMs ?? Duration.toMillis(timeouts.queue))
        const request = { ...asked, id, askedAt, deadline }
        yield* fleet.updateFor(model)
        const assignment = yield* Deferred.make<Assignment, ScheduleError>()
        const release = yield* releaseOnce(id)
        explanations.add(asked.id, core.explain(request, askedAt))
        yield* driver.ask({ assignment, model, narrate }, request)
        const assigned = yield* awaitAssignment(assignment, deadline)
        const now = clock.currentTimeMillisUnsafe()
        const loadMs = driver.loadPeriods.during(model, askedAt, now)
        return { ...assigned, queueMs: now - askedAt, loadMs, release }
      },
      (reserving, { attempt, model }) => traced("Scheduler.schedule", { model, attempt })(reserving)
    )
  })
})
