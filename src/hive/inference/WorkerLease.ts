import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { RunningJob } from "../../job/Submission.ts"
import { type ConnectionLost, QueueTimeout, type WorkerFailed, WorkerUnhealthy } from "../workers/errors.ts"
import type { Lease, LeaseError } from "../workers/Lease.ts"
import type { CompletionError } from "../workers/WorkerClient.ts"
import type { Workers } from "../workers/Workers.ts"
import type { LeaseRequest } from "../workers/WorkerSelection.ts"

/** Why a request got no answer, or a part of one. */
export type AnswerError =
  | Exclude<CompletionError, ConnectionLost>
  | LeaseError
  | QueueTimeout
  | WorkerUnhealthy

/** What is done with a worker, and who says so in the job's log. */
export interface Use {
  readonly actor: string
  readonly action: string
  /** What the worker does now, for a sentence: `continues the prompt`. */
  readonly does: string
  /** How long a worker is waited for, in milliseconds; as long as it takes when it is not said. */
  readonly waitMs?: number | undefined
  /** Its events. Of a worker that is gone it may just tell so. `loadMs` is how long it was waited for to load. */
  readonly answer: (lease: Lease, loadMs: number) => Stream.Stream<JobEvent, CompletionError>
}

const loading: ReadonlySet<string> = new Set(["worker_spawn", "worker_wait"])

/** Fails after a time. A worker that is loading by then is waited for all the same: the next request will want it. */
const queueDeadline = Effect.fnUntraced(function* (
  workers: Workers["Service"],
  request: LeaseRequest,
  waitMs: number
) {
  yield* Effect.sleep(waitMs)
  const list = yield* workers.list
  if (list.some(({ record, spec }) => spec.model === request.model && record.state === "starting")) {
    const loaded = Effect.scoped(workers.lease({ ...request, inLine: false }, () => Effect.void))
    yield* Effect.forkDetach(loaded, { startImmediately: true })
  }
  return yield* new QueueTimeout({ model: request.model, waitedMs: waitMs })
})

/** Whether a failure may come of a worker that is broken; 200 is the status of one that failed after it began. */
const isSuspicious = (error: CompletionError) =>
  error._tag === "WorkerSilent" ||
  (error._tag === "WorkerRefused" && (error.status >= 500 || error.status === 200))

/**
 * Whose fault the failure of an answer is: a worker that is gone gives the reason for which it went, and one that failed
 * the request is asked for its health. A healthy engine's error comes through unchanged.
 */
export const diagnosed = (
  lease: Lease,
  error: CompletionError
): Effect.Effect<Exclude<CompletionError, ConnectionLost> | WorkerFailed | WorkerUnhealthy> => {
  if (error._tag === "WorkerGone") return lease.exitReason
  if (!isSuspicious(error)) return Effect.succeed(error)
  return Effect.map(lease.isHealthy, (healthy) =>
    healthy ? error : new WorkerUnhealthy({ worker: lease.id, reason: error.message })
  )
}

/**
 * Finds a worker and uses it as long as the stream lasts; what is said while it is sought comes out as it is said. A
 * worker that is gone is told of with the reason for which it went.
 */
export const withLease = Effect.fnUntraced(function* (
  workers: Workers["Service"],
  request: LeaseRequest,
  job: RunningJob,
  { action, actor, answer, does, waitMs }: Use
) {
  const found = yield* Deferred.make<{ readonly lease: Lease; readonly loadMs: number }>()
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  let loadsSince: number | undefined
  const seeking = Stream.callback<JobEvent, LeaseError | QueueTimeout>((queue) => {
    const lease = workers
      .lease(request, (action, message) => {
        if (loading.has(action)) loadsSince ??= clock.currentTimeMillisUnsafe()
        return Effect.asVoid(Queue.offer(queue, JobEvent.narration(actor, action, message, job.id)))
      })
      .pipe(Scope.provide(scope))
    return (
      waitMs === undefined ? lease : Effect.raceFirst(lease, queueDeadline(workers, request, waitMs))
    ).pipe(
      Effect.flatMap((lease) => {
        const now = clock.currentTimeMillisUnsafe()
        return Deferred.succeed(found, { lease, loadMs: now - (loadsSince ?? now) })
      }),
      Effect.andThen(Queue.end(queue))
    )
  })
  const using = Stream.unwrap(
    Effect.map(Deferred.await(found), ({ lease, loadMs }) =>
      Stream.concat(
        Stream.make(JobEvent.narration(actor, action, `Worker ${lease.id} ${does}`, job.id)),
        Stream.catch(answer(lease, loadMs), (error) =>
          Stream.fromEffect(Effect.flip(diagnosed(lease, error)))
        )
      )
    )
  )
  return Stream.concat(seeking, using)
}, Stream.unwrap)
