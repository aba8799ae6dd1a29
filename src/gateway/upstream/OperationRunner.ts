import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { endError } from "../../job/endError.ts"
import { JobFailed, type IdempotencyConflict, type TooManyJobs } from "../../job/errors.ts"
import { Jobs } from "../../job/Jobs.ts"
import { batches, Ticker } from "../../job/log/Follower.ts"
import type { LoggedEvent } from "../../job/log/JobEvent.ts"
import { OperationRouter } from "../../job/OperationRouter.ts"
import type { RefusedOperation } from "../../operation/errors.ts"

/** The reasons why an operation is not accepted as a job. */
export type SubmitError = IdempotencyConflict | RefusedOperation | TooManyJobs

/**
 * The failure of a job that is not done. A cancelled job counts as failed too: `JobCancelled` would tell the client that its
 * own request was cancelled (499).
 */
export const jobFailure = (end: LoggedEvent | undefined): JobFailed => {
  const error = end === undefined ? undefined : endError(end)
  return error?._tag === "JobFailed"
    ? error
    : new JobFailed({ code: "JobFailed", sentence: "The job was cancelled" })
}

/** Runs operations of the daemon as jobs, for application endpoints that do more than inference. */
export class OperationRunner extends Context.Service<
  OperationRunner,
  {
    /** Returns the job's id and its events in batches; an empty batch for each second or so without events. */
    readonly start: (
      operation: Schema.JsonObject
    ) => Effect.Effect<
      { readonly jobId: string; readonly events: Stream.Stream<ReadonlyArray<LoggedEvent>> },
      SubmitError
    >
    /** Returns the job's id after the job is done; fails with the job's failure. */
    readonly run: (operation: Schema.JsonObject) => Effect.Effect<string, JobFailed | SubmitError>
  }
>()("rbee/gateway/upstream/OperationRunner") {
  static readonly layerNoDeps = Layer.effect(
    OperationRunner,
    Effect.gen(function* () {
      const jobs = yield* Jobs
      const ticker = yield* Ticker
      const operations = yield* OperationRouter

      const start = Effect.fn("OperationRunner.start")(function* (operation: Schema.JsonObject) {
        const submission = yield* operations.route(JSON.stringify(operation))
        const { job_id: jobId } = yield* jobs.submit(submission)
        const events = Stream.unwrap(
          Effect.map(Effect.orDie(jobs.follow(jobId)), ({ log }) =>
            batches({ log, ticker }, 0, (events) => events)
          )
        )
        return { jobId, events }
      })

      return OperationRunner.of({
        start,
        run: Effect.fn("OperationRunner.run")(function* (operation) {
          const { events, jobId } = yield* start(operation)
          const last = yield* Stream.runLast(events)
          const end = Option.getOrUndefined(last)?.at(-1)
          return end?.kind === "done" ? jobId : yield* jobFailure(end)
        })
      })
    })
  )
}
