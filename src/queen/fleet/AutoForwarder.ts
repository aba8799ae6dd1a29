import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Work } from "../../job/Submission.ts"
import { modelOf, type OperationRequest } from "../../operation/Catalog.ts"
import type { Routing } from "../../operation/Routing.ts"
import { Settings } from "../../settings/Settings.ts"
import { FleetView } from "../scheduler/FleetView.ts"
import { classifyFailure } from "./classifyFailure.ts"
import { HiveAttempt } from "./HiveAttempt.ts"
import { HiveSelector } from "./HiveSelector.ts"
import { OperationRun } from "./OperationRun.ts"

/** Forwards operations whose `hive_id` is `auto`. */
export class AutoForwarder extends Context.Service<
  AutoForwarder,
  {
    /**
     * The work of such an operation: a `HiveSelector` chooses the hive, up to `scheduler.attempts` times. Another hive
     * gets the operation if the first one cannot be reached; if the first one fails later, only before any part of the
     * answer, and only an operation that may be repeated or that generates.
     */
    readonly work: (request: OperationRequest, routing: Routing) => Work
  }
>()("rbee/queen/fleet/AutoForwarder") {
  static readonly layerNoDeps = Layer.effect(
    AutoForwarder,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(HiveSelector.layerNoDeps))
}

const make = Effect.gen(function* () {
  const selector = yield* HiveSelector
  const fleet = yield* FleetView
  const hiveAttempt = yield* HiveAttempt
  const { scheduler } = yield* Settings

  /** Whether another hive can do the work now: for an answer, one that has the model. */
  const canMove = ({ canMove, request, routing }: OperationRun, hive: string) =>
    canMove && (routing.occupiesWorker !== true || fleet.hasElsewhere(modelOf(request) ?? "", hive))

  const forward = (run: OperationRun, number: number, hive: string) => {
    const { job, request, routing } = run
    return hiveAttempt.run({
      operation: request.name,
      hiveId: hive,
      json: JSON.stringify({ ...request.fields, hive_id: hive }),
      routing,
      number,
      canMove: () => canMove(run, hive),
      job,
      hasBegun: () => run.hasBegun,
      take: (events) => run.relay(events)
    })
  }

  /** Gives whether the operation is done; otherwise another hive may do it. */
  const attempt = Effect.fnUntraced(function* (run: OperationRun, number: number) {
    const { hive, release, worker } = yield* selector.select(run, number)
    yield* run.narrate("choose_hive", `Chose hive '${hive}'`)
    const error = yield* Effect.match(forward(run, number, hive), {
      onFailure: (error) => error,
      onSuccess: () => undefined
    })
    yield* release(error === undefined ? "ok" : classifyFailure(error))
    if (error === undefined) return true
    if (number >= scheduler.attempts || !run.mayRetry(error)) return yield* Effect.fail(error)
    run.avoid(hive, worker)
    yield* fleet.snapshot(0)
    yield* run.narrate(
      "retry",
      `Hive '${hive}' failed before it answered (${error.message}); trying another hive`
    )
    return false
  }, Effect.scoped)

  const forwardToAny = Effect.fnUntraced(function* (run: OperationRun) {
    let number = 1
    while (!(yield* attempt(run, number))) number++
    // The models are current when the operation reports success.
    if (run.routing.changesModels === true) yield* fleet.refresh
  })

  return AutoForwarder.of({
    work: (request, routing) => (job, emit) => forwardToAny(new OperationRun(request, routing, job, emit))
  })
})
