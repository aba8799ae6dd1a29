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

/** What is known of a job when its work has ended. */
export interface CompletedWork {
  readonly id: string
  readonly operation: string
  /** Somebody asked for its cancel. */
  readonly cancelling: boolean
  /** Why it was ended from outside of its stream. */
  readonly failure?: OperationError | undefined
}

/** Reads from the way the work ended how the job did. What nobody foresaw is logged and told of in a word. */
export const outcomeOf = (
  { cancelling, failure, id, operation }: CompletedWork,
  exit: Exit.Exit<void, OperationError>
): Effect.Effect<Outcome> => {
  if (Exit.isSuccess(exit)) return Effect.succeed(cancelling ? cancelled : { state: "completed" })
  const error = failure ?? Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (error?._tag === "JobCancelled") {
    const isConfirmed = error instanceof JobCancelled ? error.confirmed : undefined
    return Effect.succeed({ ...cancelled, isConfirmed })
  }
  if (error !== undefined && !cancelling) return Effect.succeed({ state: "failed", error: failureOf(error) })
  if (cancelling || Cause.hasInterruptsOnly(exit.cause)) return Effect.succeed(cancelled)
  return Effect.as(Effect.logError("a job died", { job: id, operation }, exit.cause), {
    state: "failed",
    error: failureOf(new InternalError({ job: id }))
  })
}
