import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type { GatewayRequest } from "../../gateway/upstream/Upstream.ts"
import type { OperationError } from "../../job/errors.ts"
import type { Emit, RunningJob, Work } from "../../job/Submission.ts"
import { Complete } from "../../operation/inferenceOperations.ts"
import { Settings } from "../../settings/Settings.ts"
import type { WorkerView } from "../scheduler/Fleet.ts"
import { FleetView } from "../scheduler/FleetView.ts"
import { type Reservation, Scheduler } from "../scheduler/Scheduler.ts"
import { classifyFailure } from "./classifyFailure.ts"
import { HiveAttempt } from "./HiveAttempt.ts"
import { RequestRecovery } from "./RequestRecovery.ts"
import { type RequestAttempt, RequestRun } from "./RequestRun.ts"

/** Has requests of applications answered by workers of the fleet. */
export class CompletionForwarder extends Context.Service<
  CompletionForwarder,
  {
    /**
     * The work of a request's job. The scheduler assigns a worker; if the worker fails, another one answers the request or
     * continues the answer, up to `scheduler.attempts` times.
     */
    readonly complete: (request: GatewayRequest) => Work
  }
>()("rbee/queen/fleet/CompletionForwarder") {
  static readonly layerNoDeps = Layer.effect(
    CompletionForwarder,
    Effect.suspend(() => make)
  )
}

const completeJson = (
  { api, model }: GatewayRequest,
  { hive, id }: WorkerView,
  body: RequestAttempt["body"]
) => JSON.stringify({ operation: "complete", hive_id: hive, model: model.id, worker_id: id, api, body })

const assignmentSentence = ({ sharedTokens, worker: { hive, id } }: Reservation) =>
  `Chose worker '${id}' on hive '${hive}'${sharedTokens > 0 ? ` (about ${sharedTokens} prompt tokens cached)` : ""}`

const make = Effect.gen(function* () {
  const fleet = yield* FleetView
  const hiveAttempt = yield* HiveAttempt
  const scheduler = yield* Scheduler
  const clock = yield* Clock.Clock
  const { scheduler: settings } = yield* Settings
  const runAside = yield* FiberSet.makeRuntime<never, void, never>()
  const recovery = new RequestRecovery(fleet, settings.attempts)

  const reserve = (run: RequestRun, attempt: RequestAttempt) => {
    const request = run.reservation(attempt, clock.currentTimeMillisUnsafe())
    const narrate = (sentence: string) => void runAside(Effect.ignore(run.narrate("wait", sentence)))
    return scheduler.reserve(request, narrate).pipe(
      Effect.catchIf(
        ({ _tag }) => _tag === "NotPlaceable" && (request.minContext ?? 0) > 0,
        // The needed context length is an estimate: without memory for it, any worker may find that the prompt fits.
        () => scheduler.reserve({ ...request, minContext: undefined }, narrate)
      ),
      Effect.catch((error: OperationError) =>
        Effect.fail(error._tag === "NoOtherWorker" ? (attempt.engineFailure ?? error) : error)
      )
    )
  }

  const forward = Effect.fnUntraced(function* (
    run: RequestRun,
    { body, number }: RequestAttempt,
    reservation: Reservation
  ) {
    const { loadMs, queueMs, worker } = reservation
    run.request.onPlaced({ hive: worker.hive, worker: worker.id, queueMs, loadMs })
    yield* run.narrate("choose_worker", assignmentSentence(reservation))
    yield* hiveAttempt.run({
      operation: "complete",
      hiveId: worker.hive,
      json: completeJson(run.request, worker, body),
      routing: Complete.routing,
      number,
      canMove: () => fleet.hasElsewhere(run.request.model.id, worker.hive),
      job: run.job,
      hasBegun: () => run.hasBegun,
      take: (events) => run.relay(events, number)
    })
  })

  /** Gives the next attempt if this one failed and another may succeed. */
  const attempt = Effect.fnUntraced(function* (run: RequestRun, current: RequestAttempt) {
    const reservation = yield* reserve(run, current)
    const error = yield* Effect.match(forward(run, current, reservation), {
      onFailure: (error) => error,
      onSuccess: () => undefined
    })
    yield* reservation.release(error === undefined ? "ok" : classifyFailure(error))
    if (error === undefined) return undefined
    return yield* recovery.next(run, current, reservation.worker, error)
  }, Effect.scoped)

  const answer = Effect.fnUntraced(function* (request: GatewayRequest, job: RunningJob, emit: Emit) {
    const run = new RequestRun(request, job, emit, clock.currentTimeMillisUnsafe())
    let next: RequestAttempt | undefined = { number: 1, body: request.body }
    while (next !== undefined) next = yield* attempt(run, next)
  })

  return CompletionForwarder.of({ complete: (request) => (job, emit) => answer(request, job, emit) })
})
