import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { addFinalizer } from "../../http/scopeFinalizers.ts"
import type { RunningJob } from "../../job/Submission.ts"
import type { Activity } from "../engines/Engine.ts"
import { type CompletionError, cancelTimeout, type WorkerClient } from "../workers/WorkerClient.ts"
import type { Lease } from "../workers/Workers.ts"

const pollEvery = "25 millis"

const reason = `it did not confirm within ${Duration.toSeconds(cancelTimeout)} s that it stopped a request`

const answered: ReadonlySet<string> = new Set<CompletionError["_tag"]>([
  "ContextLengthExceeded",
  "WorkerGone",
  "WorkerRefused"
])

/** Whether the engine has ended the request itself, by an answer or with its process. */
const hasEndedItself = (exit: Exit.Exit<unknown, unknown>) => {
  if (!Exit.isFailure(exit)) return false
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  return (
    typeof error === "object" &&
    error !== null &&
    "_tag" in error &&
    typeof error._tag === "string" &&
    answered.has(error._tag)
  )
}

/** How a request that is sent to a worker ends. */
export interface SentRequest {
  /** The answer is complete: nothing is left to stop. */
  readonly complete: () => void
  /** The answer failed while the worker may still work on it: it is stopped, and the failure does not wait for that. */
  readonly failed: () => void
}

/**
 * Stops the request of a job at its worker when the job leaves it before its end: by the engine's way to cancel, until the
 * engine has confirmed it. A worker that does not within five seconds is restarted, and the job's cancel counts as not
 * confirmed.
 */
export const stopWhenLeft = Effect.fnUntraced(function* (
  client: WorkerClient["Service"],
  lease: Lease,
  job: RunningJob
) {
  const { cancellation } = lease
  let isComplete = false
  let hasFailed = false
  let isSilent = false
  const unconfirmed = Effect.andThen(
    job.unconfirmed,
    Effect.suspend(() => lease.restart(reason))
  )

  const ask = Effect.map(client.cancel(lease.port, job.id), (answer) => {
    isSilent = answer === "silent"
    return answer
  })
  const byDelete = Effect.suspend(() =>
    isSilent
      ? unconfirmed
      : Effect.flatMap(ask, (answer) => (answer === "silent" ? unconfirmed : Effect.void))
  )

  const hasStopped = (activity: Activity | undefined, others: number) => {
    if (activity === undefined) return lease.isHealthy
    return Effect.flatMap(client.read(lease.port, activity.path), (body) => {
      const running = body === undefined ? undefined : activity.running(body)
      return running === undefined ? lease.isHealthy : Effect.succeed(running <= others)
    })
  }
  // The scope has closed the connection by now.
  const byDisconnect = (activity: Activity | undefined) =>
    Effect.suspend(() => {
      const others = lease.withdraw()
      return hasStopped(activity, others).pipe(
        Effect.tap((stopped) => (stopped ? Effect.void : Effect.sleep(pollEvery))),
        Effect.repeat({ until: (stopped) => stopped }),
        Effect.timeoutOrElse({ duration: cancelTimeout, orElse: () => unconfirmed })
      )
    })

  const stop = cancellation._tag === "Delete" ? byDelete : byDisconnect(cancellation.activity)
  yield* addFinalizer((exit) => {
    if (isComplete || hasEndedItself(exit)) return Effect.void
    const isCancel = !hasFailed && (Exit.isSuccess(exit) || Exit.hasInterrupts(exit))
    return Effect.asVoid(isCancel ? stop : Effect.forkDetach(stop, { startImmediately: true }))
  })
  // What was made before the stop is delivered still; of other engines nothing comes once the connection is closed.
  if (cancellation._tag === "Delete") yield* job.onCancel(Effect.map(ask, (answer) => answer === "stopped"))
  const sent: SentRequest = {
    complete: () => {
      isComplete = true
    },
    failed: () => {
      hasFailed = true
    }
  }
  return sent
})
