import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { addFinalizer } from "../../http/scopeFinalizers.ts"
import type { OperationError } from "../../job/errors.ts"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { RunningJob } from "../../job/Submission.ts"
import { HiveUnreachable } from "../forward/errors.ts"
import type { Forwarded } from "../forward/Forwarded.ts"
import { HiveForwarder } from "../forward/HiveForwarder.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import { HiveGaveUp } from "../scheduler/errors.ts"

/** One attempt of a job that may move to another hive. */
export interface AttemptRequest extends Omit<Forwarded, "job"> {
  readonly job: RunningJob
  /** 1 for the first. */
  readonly number: number
  /** Takes the hive's events, batch by batch. */
  readonly take: (events: ReadonlyArray<JobEvent>) => Effect.Effect<void, OperationError>
  /** Whether a part of the answer has been delivered to the job. */
  readonly hasBegun: () => boolean
}

/** Errors of a hive, whatever its workers do: it cannot be reached, is silent, or gave up the work. */
const hiveErrors: ReadonlySet<string> = new Set([
  "ConnectionFailed",
  "HiveGaveUp",
  "HiveNotFound",
  "HiveTimeout",
  "HiveUnreachable",
  "InvalidResponse"
])

/** Whether the hive failed, and not only its worker or the request. */
export const isHiveError = ({ _tag }: OperationError) => hiveErrors.has(_tag)

/** The events of each hive job are numbered from 1, so from the second attempt on the queen numbers them itself. */
const withoutId = ({ json, kind }: JobEvent) => new JobEvent(kind, json)

/**
 * Forwards a job to a hive once. Fails with `HiveUnreachable` as soon as the hive is lost, if the answer has not begun, and
 * with `HiveGaveUp` if the hive cancels the work although this queen did not.
 */
export class HiveAttempt extends Context.Service<
  HiveAttempt,
  { readonly run: (attempt: AttemptRequest) => Effect.Effect<void, OperationError> }
>()("rbee/queen/fleet/HiveAttempt") {
  static readonly layerNoDeps = Layer.effect(
    HiveAttempt,
    Effect.gen(function* () {
      const forwarder = yield* HiveForwarder
      const registry = yield* HiveRegistry

      const run = Effect.fnUntraced(function* ({ hasBegun, number, take, ...request }: AttemptRequest) {
        const { hiveId, job } = request
        let isCancelled = false
        const lost = yield* Deferred.make<never, OperationError>()
        // An answer that has begun can be resumed when the hive returns.
        const stopWatching = registry.onLost(hiveId, (reason) => {
          if (!hasBegun())
            Deferred.doneUnsafe(lost, Effect.fail(new HiveUnreachable({ hive: hiveId, reason })))
        })
        yield* addFinalizer(() => Effect.sync(stopWatching))
        const noteCancel = Effect.sync(() => {
          isCancelled = true
        })
        const watchedJob: RunningJob = {
          ...job,
          runsAt: ({ stop = Effect.succeed(false), ...remote }) =>
            job.runsAt({ ...remote, stop: Effect.andThen(noteCancel, stop) })
        }
        yield* Effect.raceFirst(
          forwarder.forwardJson(
            { ...request, job: watchedJob },
            number === 1 ? take : (events) => take(events.map(withoutId))
          ),
          Deferred.await(lost)
        ).pipe(
          Effect.mapError((error) =>
            error._tag === "JobCancelled" && !isCancelled ? new HiveGaveUp({ hive: hiveId }) : error
          )
        )
      }, Effect.scoped)
      return HiveAttempt.of({ run })
    })
  )
}
