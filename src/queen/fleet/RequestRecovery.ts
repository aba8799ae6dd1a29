import * as Effect from "effect/Effect"
import type { OperationError } from "../../job/errors.ts"
import { AnswerLost } from "../scheduler/errors.ts"
import { keyOf, type WorkerView } from "../scheduler/Fleet.ts"
import type { FleetView } from "../scheduler/FleetView.ts"
import { classifyFailure } from "./classifyFailure.ts"
import { decideFailover, failoverSentence } from "./failover.ts"
import { isHiveError } from "./HiveAttempt.ts"
import type { RequestAttempt, RequestRun } from "./RequestRun.ts"

/** An answer that its client has begun to read fails with `AnswerLost`, any other with the worker's error. */
const finalError = ({ hasBegun, request }: RequestRun, worker: string, error: OperationError) =>
  hasBegun && request.isStreamed ? new AnswerLost({ worker, reason: error.message, cause: error }) : error

/** Decides how a request proceeds after a worker failed it. */
export class RequestRecovery {
  readonly #fleet: FleetView["Service"]
  readonly #maxAttempts: number

  constructor(fleet: FleetView["Service"], maxAttempts: number) {
    this.#fleet = fleet
    this.#maxAttempts = maxAttempts
  }

  /** The next attempt; undefined when the answer is complete already. Fails if no other attempt is made. */
  next(
    run: RequestRun,
    { number }: RequestAttempt,
    worker: WorkerView,
    error: OperationError
  ): Effect.Effect<RequestAttempt | undefined, OperationError> {
    return classifyFailure(error) === "client"
      ? this.#withLongerContext(run, number, worker, error)
      : this.#withOtherWorker(run, number, worker, error)
  }

  readonly #withOtherWorker = Effect.fnUntraced(
    { self: this },
    function* (run: RequestRun, number: number, worker: WorkerView, error: OperationError) {
      const outcome = classifyFailure(error)
      run.recordFailure(outcome)
      const events = yield* run.job.readEvents
      const delivered = run.delivered(events)
      const decision = decideFailover({
        outcome,
        number,
        maxAttempts: this.#maxAttempts,
        engineFailures: run.engineFailures,
        hasBegun: run.hasBegun,
        isStreamed: run.request.isStreamed,
        delivered
      })
      if (decision === "finish") return undefined
      const failure = finalError(run, worker.id, error)
      if (decision === "fail") return yield* Effect.fail(failure)
      run.avoid([keyOf(worker), ...(isHiveError(error) ? yield* this.#workersOf(worker.hive) : [])])
      const body = run.prepare(decision, delivered, events.at(-1)?.id ?? 0)
      yield* run.narrate(decision, failoverSentence(decision, worker.id, error.message, delivered.length))
      return { number: number + 1, body, engineFailure: outcome === "engine" ? failure : undefined }
    }
  )

  /** Tries a worker with a longer context, once, for a prompt that was too long for this one. */
  readonly #withLongerContext = Effect.fnUntraced(
    { self: this },
    function* (run: RequestRun, number: number, { contextSize, id }: WorkerView, error: OperationError) {
      const needed = run.longerContext(contextSize, error)
      if (needed === undefined) return yield* Effect.fail(error)
      run.requireContext(needed)
      yield* run.narrate(
        "retry",
        `The prompt is too long for worker '${id}' (${contextSize} tokens); looking for one with a context of ${needed} tokens`
      )
      return { number: number + 1, body: run.request.body }
    }
  )

  /** The keys of all workers of a hive that has just failed; none when the hive does not answer now. */
  #workersOf(hive: string) {
    return Effect.map(this.#fleet.snapshot(0), (snapshots) =>
      snapshots
        .filter((snapshot) => snapshot.hive === hive)
        .flatMap(({ inventory }) => inventory.workers.map(({ worker_id: id }) => keyOf({ hive, id })))
    )
  }
}
