import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { RunningJob } from "../../job/Submission.ts"
import type { Activity } from "../engines/Engine.ts"
import type { Lease } from "../workers/Lease.ts"
import type { CompletionError, WorkerClient } from "../workers/WorkerClient.ts"
import { stopDeadline } from "./stopDeadline.ts"

const pollInterval = "25 millis"

const finalErrors: ReadonlySet<string> = new Set<CompletionError["_tag"]>([
  "ContextLengthExceeded",
  "WorkerGone",
  "WorkerRefused"
])

/** Whether the engine ended the request itself: with an answer, an error, or the end of its process. */
const wasEndedByEngine = (exit: Exit.Exit<unknown, { readonly _tag: string }>) => {
  if (Exit.isSuccess(exit)) return true
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  return error !== undefined && finalErrors.has(error._tag)
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
 * Runs a request of the job at the worker of the lease. When the job leaves the request before its end, the request is
 * stopped by the engine's way to cancel, until the engine has confirmed it or its process has ended. A worker that does
 * not confirm by the `stopDeadline` is restarted, and the job's cancel counts as not confirmed. `request` must close its
 * connection when it is interrupted.
 */
export const stopWhenLeft = Effect.fnUntraced(function* <A, E extends { readonly _tag: string }>(
  client: Client,
  lease: WorkerInUse,
  job: Pick<RunningJob, "id" | "runsAt">,
  request: Effect.Effect<A, E>
) {
  const { cancellation } = lease
  let overdue: string | undefined
  const deadline = Effect.map(stopDeadline(lease.isHealthy), (reason) => {
    overdue = reason
    return false
  })
  const exited = Effect.as(lease.exited, false)

  /** Whether the worker has stopped the request, and so ends its answer. */
  const requestStop = Effect.suspend(() =>
    Effect.raceAllFirst([
      Effect.map(client.cancel(lease.port, job.id), (answer) => answer === "stopped"),
      exited,
      deadline
    ])
  )
  // What the worker made before the stop is still delivered; other engines deliver nothing on a closed connection.
  const stop = cancellation._tag === "Delete" ? requestStop : undefined
  const remote = yield* job.runsAt({ stop })

  const restartIfOverdue = Effect.suspend(() => {
    if (overdue === undefined) return Effect.void
    remote.unconfirmed()
    return lease.restart(overdue)
  })
  const byDelete = Effect.suspend(() =>
    overdue === undefined ? Effect.andThen(requestStop, restartIfOverdue) : restartIfOverdue
  )
  const byDisconnect = (activity: Activity | undefined) =>
    Effect.suspend(() => {
      const others = lease.withdraw()
      const stopped = hasStopped(client, lease, activity, others).pipe(
        Effect.tap((stopped) => (stopped ? Effect.void : Effect.sleep(pollInterval))),
        Effect.repeat({ until: (stopped) => stopped })
      )
      return Effect.andThen(Effect.raceAllFirst([stopped, exited, deadline]), restartIfOverdue)
    })
  const ensureStopped = cancellation._tag === "Delete" ? byDelete : byDisconnect(cancellation.activity)

  return yield* Effect.onExit(request, (exit) => {
    if (wasEndedByEngine(exit)) return Effect.void
    // A cancel waits for the confirmation; a failure is reported at once.
    return Exit.hasInterrupts(exit)
      ? ensureStopped
      : Effect.asVoid(Effect.forkDetach(ensureStopped, { startImmediately: true }))
  })
}, Effect.scoped)
