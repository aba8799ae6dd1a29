import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { addFinalizer } from "../../http/scopeFinalizers.ts"
import type { OperationError } from "../../job/errors.ts"
import type { JobEvent } from "../../job/log/JobEvent.ts"
import type { RunningJob } from "../../job/Submission.ts"
import { HiveUnreachable } from "../forward/errors.ts"
import type { Forwarded } from "../forward/Forwarded.ts"
import { HiveForwarder } from "../forward/HiveForwarder.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import { HiveGaveUp } from "../scheduler/errors.ts"

/** One attempt of a job that may be tried on several hives. */
export interface Attempt extends Omit<Forwarded, "job"> {
  readonly job: RunningJob
  /** Takes the hive's events, batch by batch. */
  readonly take: (events: ReadonlyArray<JobEvent>) => Effect.Effect<void, OperationError>
  /** Whether the client may have seen a part of the answer. */
  readonly hasBegun: () => boolean
}

/** Errors of a hive as a whole: it is away, silent or full. */
const hiveErrors: ReadonlySet<string> = new Set([
  "ConnectionFailed",
  "HiveGaveUp",
  "HiveNotFound",
  "HiveTimeout",
  "HiveUnreachable",
  "InvalidResponse"
])

/** Whether the error says that the hive as a whole is away, silent or full. */
export const isHiveError = ({ _tag }: OperationError) => hiveErrors.has(_tag)

/**
 * Forwards a job to a hive so that its failure there is not yet the job's: a hive that is lost before anything of the
 * answer came is left at once, and a hive that gave the work up without being asked to fails with `HiveGaveUp`.
 */
export class HiveAttempt extends Context.Service<
  HiveAttempt,
  { readonly run: (attempt: Attempt) => Effect.Effect<void, OperationError> }
>()("rbee/queen/fleet/HiveAttempt") {
  static readonly layerNoDeps = Layer.effect(
    HiveAttempt,
    Effect.gen(function* () {
      const forwarder = yield* HiveForwarder
      const registry = yield* HiveRegistry

      const run = Effect.fnUntraced(function* ({ hasBegun, take, ...request }: Attempt) {
        const { hiveId, job } = request
        let isCancelled = false
        const lost = yield* Deferred.make<never, OperationError>()
        // An answer that has begun may yet be resumed.
        const stopWatching = registry.onLost(hiveId, (reason) => {
          if (!hasBegun())
            Deferred.doneUnsafe(lost, Effect.fail(new HiveUnreachable({ hive: hiveId, reason })))
        })
        yield* addFinalizer(() => Effect.sync(stopWatching))
        const noteCancel = Effect.sync(() => {
          isCancelled = true
        })
        const here: RunningJob = {
          ...job,
          runsAt: ({ stop = Effect.succeed(false), ...remote }) =>
            job.runsAt({ ...remote, stop: Effect.andThen(noteCancel, stop) })
        }
        yield* Effect.raceFirst(
          forwarder.forwardJson({ ...request, job: here }, take),
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
