import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { addFinalizer } from "../../http/scopeFinalizers.ts"
import type { RunningJob } from "../../job/Submission.ts"
import type { Activity } from "../engines/Engine.ts"
import type { Lease } from "../workers/Lease.ts"
import type { CompletionError, WorkerClient } from "../workers/WorkerClient.ts"
import { stopDeadline } from "./stopDeadline.ts"

const pollInterval = "25 millis"

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

type Client = Pick<WorkerClient["Service"], "cancel" | "read">
type WorkerInUse = Pick<Lease, "cancellation" | "exited" | "isHealthy" | "port" | "restart" | "withdraw">

/** Whether an engine that stops a request by its closed connection works on no more answers than those of others. */
const hasStopped = Effect.fnUntraced(function* (
  client: Client,
  lease: WorkerInUse,
  activity: Activity | undefined,
  others: number
) {
  if (activity === undefined) return yield* lease.isHealthy
  const answer = yield* client.read(lease.port, activity.path)
  // llama-server answers between two batches only, so silence is no sign that it has stopped.
  if (answer === undefined) return false
  const running = answer.status === 200 ? activity.running(answer.text) : undefined
  return running === undefined ? yield* lease.isHealthy : running <= others
})

/**
 * Stops the request of a job at its worker when the job leaves it before its end: by the engine's way to cancel, until the
 * engine has confirmed it or its process has ended. A worker that does not confirm by the `stopDeadline` is restarted, and
 * the job's cancel counts as not confirmed.
 */
export const stopWhenLeft = Effect.fnUntraced(function* (
  client: Client,
  lease: WorkerInUse,
  job: Pick<RunningJob, "id" | "onCancel" | "unconfirmed">
) {
  const { cancellation } = lease
  let isComplete = false
  let hasFailed = false
  let overdue: string | undefined
  const deadline = Effect.map(stopDeadline(lease.isHealthy), (reason) => {
    overdue = reason
    return false
  })
  const exited = Effect.as(lease.exited, false)
  const restart = (reason: string) => Effect.andThen(job.unconfirmed, lease.restart(reason))
  const restartIfOverdue = Effect.suspend(() => (overdue === undefined ? Effect.void : restart(overdue)))

  /** Whether the worker has stopped the request, and so ends its answer. */
  const requestStop = Effect.suspend(() =>
    Effect.raceAllFirst([
      Effect.map(client.cancel(lease.port, job.id), (answer) => answer === "stopped"),
      exited,
      deadline
    ])
  )
  const byDelete = Effect.suspend(() =>
    overdue === undefined ? Effect.andThen(requestStop, restartIfOverdue) : restartIfOverdue
  )
  // The scope has closed the connection by now.
  const byDisconnect = (activity: Activity | undefined) =>
    Effect.suspend(() => {
      const others = lease.withdraw()
      const stopped = hasStopped(client, lease, activity, others).pipe(
        Effect.tap((stopped) => (stopped ? Effect.void : Effect.sleep(pollInterval))),
        Effect.repeat({ until: (stopped) => stopped })
      )
      return Effect.andThen(Effect.raceAllFirst([stopped, exited, deadline]), restartIfOverdue)
    })

  const stop = cancellation._tag === "Delete" ? byDelete : byDisconnect(cancellation.activity)
  yield* addFinalizer((exit) => {
    if (isComplete || hasEndedItself(exit)) return Effect.void
    const isCancel = !hasFailed && (Exit.isSuccess(exit) || Exit.hasInterrupts(exit))
    return Effect.asVoid(isCancel ? stop : Effect.forkDetach(stop, { startImmediately: true }))
  })
  // What was made before the stop is delivered still; of other engines nothing comes once the connection is closed.
  if (cancellation._tag === "Delete") yield* job.onCancel(requestStop)
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
