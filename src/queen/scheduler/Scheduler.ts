import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { addFinalizer } from "../../http/scopeFinalizers.ts"
import { TransientMap } from "../../http/TransientMap.ts"
import { usualShape } from "../../operation/WorkerShape.ts"
import { Settings } from "../../settings/Settings.ts"
import type { Candidate, Decision, Requirements } from "./decide.ts"
import { type ScheduleError, toError } from "./errors.ts"
import { type HiveView, type WorkerView } from "./Fleet.ts"
import { FleetView, type HiveSnapshot } from "./FleetView.ts"
import { Loader } from "./Loader.ts"
import { loadFaultOf } from "./loadFault.ts"
import type { QueuedRequest, Message, Command, Outcome } from "./messages.ts"
import { SchedulerCore } from "./SchedulerCore.ts"

/** A worker that is reserved for a request. Times in milliseconds. */
export interface Reservation {
  readonly worker: WorkerView
  readonly sharedTokens: number
  readonly queueMs: number
  /** How much of it a worker was loaded for the model. */
  readonly loadMs: number
  /** Gives the worker back, and says how it went. Counts once. */
  readonly release: (outcome: Outcome) => Effect.Effect<void>
}

/** A request for a turn. */
export type ReservationRequest = Omit<QueuedRequest, "askedAt" | "deadline"> & {
  /** 1 for the first, more when a worker failed it. */
  readonly attempt: number
  /** How long it may wait, in milliseconds; `timeouts.queue` when it is not said. */
  readonly waitMs?: number | undefined
}

/** What was decided for a request, and what was looked at. */
export interface Explanation {
  readonly decision: Decision
  readonly candidates: ReadonlyArray<Candidate>
}

/** Gives each request its worker: queues, reservations, demand and evicting in the whole fleet. */
export class Scheduler extends Context.Service<
  Scheduler,
  {
    /** Waits for a worker; it is given back when the scope closes at the latest. `told` hears what it waits for. */
    readonly reserve: (
      request: ReservationRequest,
      told: (sentence: string) => void
    ) => Effect.Effect<Reservation, ScheduleError, Scope.Scope>
    /** What would be decided now, without reserving anything. */
    readonly explain: (wish: Requirements) => Effect.Effect<Explanation>
    /** Where one more worker for the model would be started now, without reserving anything. */
    readonly place: (
      wish: Requirements & { readonly parallel?: number | undefined }
    ) => Effect.Effect<Decision>
    /** What was decided for the request of an id, each time that it asked for a turn; kept for the last few hundred. */
    readonly explained: (id: string) => ReadonlyArray<Explanation>
    /** What is under way. */
    readonly load: Effect.Effect<SchedulerCore["load"]>
  }
>()("rbee/queen/scheduler/Scheduler") {
  static readonly layerNoDeps = Layer.effect(
    Scheduler,
    Effect.suspend(() => make)
  )
}

interface Waiter {
  readonly reserve: Deferred.Deferred<Pick<Reservation, "worker" | "sharedTokens">, ScheduleError>
  readonly model: string
  readonly told: (sentence: string) => void
  /** What it was told last of its place in the queue. */
  place?: string
}

const pollInterval = 500
const lookWhenIdle = 5_000
const maxAge = 1_000
const keptExplanations = 256

// Capabilities name devices in capitals, everything that people type in small letters.
const shortName = (device: string) => device.toLowerCase()

const viewOf = ({
  away,
  hive,
  inventory: { devices, engines, models, workers }
}: HiveSnapshot): HiveView => ({
  id: hive,
  away,
  devices: devices.map(({ device_type, free_bytes, id, total_bytes, usable }) => ({
    id: shortName(id),
    kind: device_type,
    totalBytes: total_bytes,
    freeBytes: free_bytes,
    usable
  })),
  engineDevices:
    engines === undefined
      ? undefined
      : new Map(engines.map(({ devices, name }) => [name, devices.map(shortName)])),
  models: models.map((model) => ({
    id: model.id,
    engines: model.engines,
    revision: JSON.stringify([model.size_bytes, model.sha256, model.downloaded_at]),
    memoryBytes: model.memory_bytes,
    usual: { ...usualShape(model), tokenBytes: model.token_bytes }
  })),
  workers: workers.map(
    ({ capabilities, context_size, device, engine, memory_bytes, model_id, slots, state, worker_id }) => ({
      hive,
      id: worker_id,
      model: model_id,
      state,
      engine,
      device: shortName(device),
      slots,
      contextSize: context_size,
      memoryBytes: memory_bytes,
      capabilities
    })
  )
})

const make = Effect.gen(function* () {
  const fleet = yield* FleetView
  const loader = yield* Loader
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const { scheduler, timeouts } = yield* Settings
  const core = new SchedulerCore({
    queueLength: scheduler.queueLength,
    imbalanceTokens: scheduler.imbalanceTokens,
    minResidency: Duration.toMillis(scheduler.minResidency),
    starvationBound: Duration.toMillis(scheduler.starvationBound),
    scaleAfter: Duration.toMillis(scheduler.scaleAfter),
    idleTtl: Duration.toMillis(scheduler.idleTtl),
    breakerFaults: scheduler.breakerFaults,
    breakerPause: Duration.toMillis(scheduler.breakerPause),
    loadPause: Duration.toMillis(scheduler.loadPause)
  })
  const waiters = new TransientMap<string, Waiter>()
  const loads = new Map<string, { readonly from: number; to?: number }>()
  const explanations = new Map<string, ReadonlyArray<Explanation>>()
  let seen: ReadonlyArray<HiveSnapshot> = []

  const remember = (id: string, explained: Explanation) => {
    explanations.set(id, [...(explanations.get(id) ?? []), explained])
    const [oldest] = explanations.keys()
    if (explanations.size > keptExplanations && oldest !== undefined) explanations.delete(oldest)
  }

  const report = (message: Message): Effect.Effect<void> =>
    Effect.suspend(() =>
      Effect.forEach(core.handle(message, clock.currentTimeMillisUnsafe()), perform, { discard: true })
    )

  const perform = (order: Command): Effect.Effect<void> => {
    switch (order._tag) {
      case "Run": {
        const waiter = waiters.get(order.id)
        waiters.delete(order.id)
        // Who left in the same moment needs no worker any more.
        if (waiter === undefined) return report({ _tag: "Ended", id: order.id, outcome: "client" })
        const { sharedTokens, worker } = order
        return Effect.asVoid(Deferred.succeed(waiter.reserve, { worker, sharedTokens }))
      }
      case "Waits":
        return Effect.sync(() => {
          const waiter = waiters.get(order.id)
          const place = `Waiting in position ${order.position}: ${order.why}`
          if (waiter === undefined || waiter.place === place) return
          waiter.place = place
          waiter.told(place)
        })
      case "Refuse": {
        const waiter = waiters.get(order.id)
        waiters.delete(order.id)
        if (waiter === undefined) return Effect.void
        return Effect.asVoid(Deferred.fail(waiter.reserve, toError(waiter.model, order.refusal)))
      }
      case "Load": {
        const { load, demand } = order
        const period: { readonly from: number; to?: number } = { from: clock.currentTimeMillisUnsafe() }
        loads.set(demand.model, period)
        const over = Effect.sync(() => {
          period.to = clock.currentTimeMillisUnsafe()
        })
        const narrate = (sentence: string) => {
          for (const { model, told } of waiters.values()) if (model === demand.model) told(sentence)
        }
        return loader.load(order, narrate).pipe(
          Effect.ensuring(over),
          Effect.matchEffect({
            onSuccess: (worker) => report({ _tag: "Loaded", load, worker }),
            onFailure: (error) =>
              report({ _tag: "LoadFailed", load, reason: error.message, fault: loadFaultOf(error) })
          }),
          Effect.forkIn(scope),
          Effect.asVoid
        )
      }
      case "Delete":
        return loader
          .unload(order.worker, order.reason)
          .pipe(
            Effect.andThen(report({ _tag: "Deleted", worker: order.worker })),
            Effect.forkIn(scope),
            Effect.asVoid
          )
    }
  }

  const look = Effect.fnUntraced(function* (maxAge: number) {
    const stocks = yield* fleet.snapshot(maxAge)
    if (stocks === seen) return
    seen = stocks
    yield* report({ _tag: "Fleet", hives: stocks.map(viewOf) })
  })

  const isServed = (model: string) =>
    seen.some(({ inventory }) =>
      inventory.workers.some(
        ({ model_id, state }) => model_id === model && (state === "ready" || state === "busy")
      )
    )

  let lookedAt = Number.NEGATIVE_INFINITY
  const round = Effect.gen(function* () {
    const { loading, waiting } = core.load
    const now = clock.currentTimeMillisUnsafe()
    if (waiting > 0 || loading > 0 || now - lookedAt >= lookWhenIdle) {
      lookedAt = now
      yield* look(pollInterval / 2)
    }
    yield* report({ _tag: "Tick" })
    // Those who wait hear how they come forward.
    yield* Effect.forEach(core.positions(clock.currentTimeMillisUnsafe()), perform, { discard: true })
  })
  yield* round.pipe(
    Effect.catchCause((cause) => Effect.logError("a round of the scheduler failed", cause)),
    Effect.delay(pollInterval),
    Effect.forever,
    Effect.forkScoped
  )

  return Scheduler.of({
    load: Effect.sync(() => core.load),
    explain: Effect.fn("Scheduler.explain")(function* (wish) {
      yield* look(maxAge)
      return core.explain(wish, clock.currentTimeMillisUnsafe())
    }),
    place: Effect.fn("Scheduler.place")(function* (wish) {
      yield* look(maxAge)
      return core.place(wish, clock.currentTimeMillisUnsafe())
    }),
    explained: (id) => explanations.get(id) ?? [],
    reserve: Effect.fnUntraced(function* ({ attempt, waitMs, ...asked }, told) {
      const request = { ...asked, id: attempt === 1 ? asked.id : `${asked.id}#${attempt}` }
      const askedAt = clock.currentTimeMillisUnsafe()
      // A hive that was lost a moment ago must not be chosen again.
      yield* look(isServed(request.model) ? Number.POSITIVE_INFINITY : maxAge)
      const deadline = askedAt + (waitMs ?? Duration.toMillis(timeouts.queue))
      const reserve = yield* Deferred.make<Pick<Reservation, "worker" | "sharedTokens">, ScheduleError>()
      let open = true
      const release = (outcome: Outcome) =>
        Effect.suspend(() => {
          if (!open) return Effect.void
          open = false
          return report({ _tag: "Ended", id: request.id, outcome })
        })
      // From the moment that it is asked for, a worker may be reserved.
      yield* addFinalizer((exit) =>
        Effect.andThen(
          Effect.suspend(() =>
            waiters.delete(request.id) ? report({ _tag: "Left", id: request.id }) : Effect.void
          ),
          release(Exit.isSuccess(exit) ? "ok" : "client")
        )
      )
      remember(asked.id, core.explain(request, askedAt))
      waiters.set(request.id, { reserve, model: request.model, told })
      yield* report({ _tag: "Asked", request: { ...request, askedAt, deadline } })
      // A round would see it too, and later.
      const expire = Effect.sleep(deadline - clock.currentTimeMillisUnsafe() + 1).pipe(
        Effect.andThen(report({ _tag: "Tick" })),
        Effect.andThen(Effect.never)
      )
      const given = Deferred.isDoneUnsafe(reserve)
        ? yield* Deferred.await(reserve)
        : yield* Effect.raceFirst(Deferred.await(reserve), expire)
      const now = clock.currentTimeMillisUnsafe()
      const { from, to = now } = loads.get(request.model) ?? { from: now }
      return {
        ...given,
        queueMs: now - askedAt,
        loadMs: Math.max(0, to - Math.max(askedAt, from)),
        release
      }
    })
  })
})
