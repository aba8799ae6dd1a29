import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { JobEvent } from "../job/JobEvent.ts"
import type { RunningJob } from "../job/Submission.ts"
import type { CompletionError, WorkerGone } from "./WorkerClient.ts"
import type { LeaseRequest } from "./WorkerChoice.ts"
import type { Lease, LeaseError, Workers } from "./Workers.ts"

/** Why a request got no answer, or a part of one. */
export type AnswerError = Exclude<CompletionError, WorkerGone> | LeaseError

/** What is done with a worker, and who says so in the job's log. */
export interface Use {
  readonly actor: string
  readonly action: string
  /** What the worker does now, for a sentence: `continues the prompt`. */
  readonly does: string
  /** Its events. Of a worker that is gone it may just tell so. */
  readonly answer: (lease: Lease) => Stream.Stream<JobEvent, CompletionError>
}

/**
 * Finds a worker and uses it as long as the stream lasts; what is said while it is sought comes out as it is said. A
 * worker that is gone is told of with the reason for which it went.
 */
export const withLease = (
  workers: Workers["Service"],
  request: LeaseRequest,
  job: RunningJob,
  { action, actor, answer, does }: Use
): Stream.Stream<JobEvent, AnswerError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const found = yield* Deferred.make<Lease>()
      const scope = yield* Effect.scope
      const seeking = Stream.callback<JobEvent, LeaseError>((queue) =>
        workers
          .lease(request, (action, message) =>
            Effect.asVoid(Queue.offer(queue, JobEvent.narration(actor, action, message, job.id)))
          )
          .pipe(
            Scope.provide(scope),
            Effect.flatMap((lease) => Deferred.succeed(found, lease)),
            Effect.andThen(Queue.end(queue))
          )
      )
      const using = Stream.unwrap(
        Effect.map(Deferred.await(found), (lease) =>
          Stream.concat(
            Stream.make(JobEvent.narration(actor, action, `Worker ${lease.id} ${does}`, job.id)),
            Stream.catchTag(answer(lease), "WorkerGone", () => Stream.fromEffect(Effect.flip(lease.whyGone)))
          )
        )
      )
      return Stream.concat(seeking, using)
    })
  )
