import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { redact } from "../http/Redaction.ts"
import { JobCancelled, InternalError, type OperationError } from "./errors.ts"
import type { JobState } from "./JobRecord.ts"
import type { Failure } from "./log/JobEvent.ts"

const failureOf = (error: OperationError): Failure =>
  error.failure ?? { code: error._tag, message: redact(error.message) }

/** How a job ended. */
export interface Outcome {
  readonly state: JobState
  readonly error?: Failure
  /** False when a cancelled job's worker did not confirm that it stopped. */
  readonly isConfirmed?: boolean | undefined
}

const cancelled: Outcome = { state: "cancelled" }

/** A job whose work has ended. */
export interface CompletedWork {
  readonly id: string
  readonly operation: string
  /** Whether a cancel was requested. */
  readonly isCancelling: boolean
  /** The reason, when the work was interrupted for one. */
  readonly failure?: OperationError | undefined
}

/** Derives the job's end from the exit of its work. A defect is logged in full and becomes an `InternalError`. */
export const outcomeOf = (
  { failure, id, isCancelling, operation }: CompletedWork,
  exit: Exit.Exit<void, OperationError>
): Effect.Effect<Outcome> => {
  if (Exit.isSuccess(exit)) return Effect.succeed(isCancelling ? cancelled : { state: "completed" })
  const error = failure ?? Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (error?._tag === "JobCancelled") {
    const isConfirmed = error instanceof JobCancelled ? error.confirmed : undefined
    return Effect.succeed({ ...cancelled, isConfirmed })
  }
  if (error !== undefined && !isCancelling)
    return Effect.succeed({ state: "failed", error: failureOf(error) })
  if (isCancelling || Cause.hasInterruptsOnly(exit.cause)) return Effect.succeed(cancelled)
  return Effect.as(Effect.logError("job failed unexpectedly", { job: id, operation }, exit.cause), {
    state: "failed",
    error: failureOf(new InternalError({ job: id }))
  })
}
