import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { type ServedModel, Upstream } from "../../gateway/upstream/Upstream.ts"
import type { OperationError } from "../../job/errors.ts"
import { CapabilityMissing } from "../../operation/Capabilities.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import { NoHiveAnswers, NotPlaceable } from "../scheduler/errors.ts"
import { keyOf } from "../scheduler/Fleet.ts"
import { FleetView } from "../scheduler/FleetView.ts"
import type { Outcome } from "../scheduler/messages.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { hiveForFile, hiveOfWorker, hiveWithoutInventory } from "./hiveChoice.ts"
import { generationRequirements, spawnRequirements, textOf } from "./operationRequirements.ts"
import type { OperationRun } from "./OperationRun.ts"

/** The hive for an attempt of an operation. */
export interface SelectedHive {
  readonly hive: string
  /** The key of the worker that is reserved there, if any. */
  readonly worker?: string
  /** Ends the reservation with the outcome of the attempt. */
  readonly release: (outcome: Outcome) => Effect.Effect<void>
}

/** Selects hives for operations whose `hive_id` is `auto`. */
export class HiveSelector extends Context.Service<
  HiveSelector,
  {
    /**
     * Selects by the operation's `placedBy`: a worker with the model, for which it waits like an application's request;
     * memory for one more worker; or space for a model's file. Closing the scope releases the worker at the latest.
     */
    readonly select: (
      run: OperationRun,
      attempt: number
    ) => Effect.Effect<SelectedHive, OperationError, Scope.Scope>
  }
>()("rbee/queen/fleet/HiveSelector") {
  static readonly layerNoDeps = Layer.effect(
    HiveSelector,
    Effect.suspend(() => make)
  )
}

/** The age in milliseconds up to which an inventory is current enough. */
const maxAge = 1_000

const withoutReservation = (hive: string): SelectedHive => ({ hive, release: () => Effect.void })

const make = Effect.gen(function* () {
  const upstream = yield* Upstream
  const fleet = yield* FleetView
  const scheduler = yield* Scheduler
  const registry = yield* HiveRegistry
  const runAside = yield* FiberSet.makeRuntime<never, void, never>()

  const olderHive = Effect.fnUntraced(function* (model: string | undefined, run: OperationRun) {
    const snapshots = yield* fleet.snapshot(maxAge)
    return hiveWithoutInventory(yield* registry.list, snapshots, model, run.avoidedHives)
  })

  const selectByFile = Effect.fnUntraced(function* (model: string | undefined, run: OperationRun) {
    const hive = hiveForFile(yield* fleet.snapshot(maxAge), model, run.avoidedHives)
    return hive ?? (yield* olderHive(model, run)) ?? (yield* new NoHiveAnswers())
  })

  const selectByRoom = Effect.fnUntraced(function* (model: ServedModel, { request }: OperationRun) {
    const decision = yield* scheduler.place(spawnRequirements(model, request.fields))
    if (decision._tag === "Place") return decision.hive
    if (decision._tag === "Incapable") {
      return yield* new CapabilityMissing({ model: model.id, capability: decision.capability })
    }
    const reason = decision._tag === "Run" ? "no device was found" : decision.reason
    return yield* new NotPlaceable({ model: model.id, reason })
  })

  const reserveWorker = Effect.fnUntraced(function* (model: ServedModel, run: OperationRun, attempt: number) {
    const { avoidedWorkers, job, request } = run
    const requirements = generationRequirements(model, request.fields)
    const reservation = yield* scheduler.reserve(
      { ...requirements, id: job.id, key: "", priority: 0, attempt, avoid: [...avoidedWorkers] },
      (sentence) => void runAside(Effect.ignore(run.narrate("wait", sentence)))
    )
    const { release, worker } = reservation
    return { hive: worker.hive, worker: keyOf(worker), release }
  })

  const selectByWorker = Effect.fnUntraced(function* (
    model: ServedModel,
    run: OperationRun,
    attempt: number
  ): Effect.fn.Return<SelectedHive, OperationError, Scope.Scope> {
    const workerId = textOf(run.request.fields["worker_id"])
    const holder = workerId === undefined ? undefined : hiveOfWorker(yield* fleet.snapshot(maxAge), workerId)
    return holder === undefined ? yield* reserveWorker(model, run, attempt) : withoutReservation(holder)
  })

  return HiveSelector.of({
    select: Effect.fnUntraced(function* (run, attempt) {
      const name = textOf(run.request.fields["model"])
      if (name === undefined || run.routing.placedBy === "file") {
        return withoutReservation(yield* selectByFile(name, run))
      }
      const found = yield* Effect.result(upstream.find(name))
      if (Result.isFailure(found)) {
        // An older hive may have the model without reporting it.
        const hive = yield* olderHive(name, run)
        return hive === undefined ? yield* found.failure : withoutReservation(hive)
      }
      return run.routing.placedBy === "room"
        ? withoutReservation(yield* selectByRoom(found.success, run))
        : yield* selectByWorker(found.success, run, attempt)
    })
  })
})
