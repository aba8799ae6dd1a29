import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { LogFull } from "../../job/log/JobLog.ts"
import type { Emit, RunningJob } from "../../job/Submission.ts"
import { type ConnectionLost, QueueTimeout, type WorkerFailed, WorkerUnhealthy } from "../workers/errors.ts"
import type { Lease, LeaseError } from "../workers/Lease.ts"
import type { CompletionError } from "../workers/WorkerClient.ts"
import type { Workers } from "../workers/Workers.ts"
import type { LeaseRequest } from "../workers/WorkerSelection.ts"

/** Why a request got no answer, or only a part of one. */
export type AnswerError =
  | Exclude<CompletionError, ConnectionLost>
  | LeaseError
  | LogFull
  | QueueTimeout
  | WorkerUnhealthy

/** How a leased worker is used, and how the job's log reports it. */
export interface WorkerUse {
  readonly actor: string
  readonly action: string
  /** What the worker does, as the end of a sentence: `continues the prompt`. */
  readonly does: string
  /** The longest wait for a worker, in milliseconds; absent: no limit. */
  readonly waitMs?: number | undefined
  /** Answers with the worker, which loaded for `loadMs`. */
  readonly answer: (lease: Lease, loadMs: number) => Effect.Effect<void, CompletionError | LogFull>
}

const loading: ReadonlySet<string> = new Set(["worker_spawn", "worker_wait"])

/** Fails after `waitMs`. A worker that is loading by then continues to load, because the next request will need it. */
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

/** Whether the worker may be broken: it was silent, or failed the request before (5xx) or after (200) it began to answer. */
const isSuspicious = (error: CompletionError | LogFull) =>
  error._tag === "WorkerSilent" ||
  (error._tag === "WorkerRefused" && (error.status >= 500 || error.status === 200))

/**
 * The error that an answer fails with: for a lost connection why the worker's process ended, for a suspicious error
 * `WorkerUnhealthy` unless the worker passes its health check, else the error unchanged.
 */
const diagnose = (
  lease: Lease,
  error: CompletionError | LogFull
): Effect.Effect<Exclude<CompletionError, ConnectionLost> | LogFull | WorkerFailed | WorkerUnhealthy> => {
  if (error._tag === "WorkerGone") return lease.exitReason
  if (!isSuspicious(error)) return Effect.succeed(error)
  return Effect.map(lease.isHealthy, (healthy) =>
    healthy ? error : new WorkerUnhealthy({ worker: lease.id, reason: error.message })
  )
}

/** Leases a worker, narrating the wait for it, and answers with it. */
export const withLease = Effect.fnUntraced(function* (
  workers: Workers["Service"],
  request: LeaseRequest,
  job: RunningJob,
  emit: Emit,
  { action, actor, answer, does, waitMs }: WorkerUse
) {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  let loadsSince: number | undefined
  const leasing = workers
    .lease(request, (action, message) => {
      if (loading.has(action)) loadsSince ??= clock.currentTimeMillisUnsafe()
      return Effect.ignore(emit([JobEvent.narration(actor, action, message, job.id)]))
    })
    .pipe(Scope.provide(scope))
  const lease = yield* waitMs === undefined
    ? leasing
    : Effect.raceFirst(leasing, queueDeadline(workers, request, waitMs))
  const now = clock.currentTimeMillisUnsafe()
  yield* emit([JobEvent.narration(actor, action, `Worker ${lease.id} ${does}`, job.id)])
  yield* Effect.catch(answer(lease, now - (loadsSince ?? now)), (error) =>
    Effect.flatMap(diagnose(lease, error), (diagnosed) => Effect.fail(diagnosed))
  )
}, Effect.scoped)
