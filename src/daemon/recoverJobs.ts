import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { InterruptedJob } from "../job/JobRecovery.ts"
import { Jobs } from "../job/Jobs.ts"
import { OperationRouter } from "../job/OperationRouter.ts"
import type { Work } from "../job/Submission.ts"
import { mayRunTwice } from "../operation/Routing.ts"

/** Runs the request again, if it may run twice and nothing of its answer was seen. */
const repeat = (router: OperationRouter["Service"], { facts: { plan }, hasAnswered }: InterruptedJob) =>
  plan?.body === undefined || !mayRunTwice(plan) || hasAnswered
    ? Effect.succeed(undefined)
    : router.route(plan.body).pipe(
        Effect.map(({ work }) => work),
        Effect.orElseSucceed(() => undefined)
      )

/** Resumes work; if no other process has it, runs the request again, where that is possible. */
const otherwise =
  (resumed: Work) =>
  (repeated: Work | undefined): Work =>
    repeated === undefined
      ? resumed
      : (job, emit) =>
          Effect.catchIf(
            resumed(job, emit),
            ({ _tag }) => _tag === "Interrupted",
            () => repeated(job, emit)
          )

/**
 * Continues the jobs that an earlier process of this daemon left unfinished: with the work that the router finds, or by
 * running the request again. The others fail with `Interrupted`. All handlers must have been added before.
 */
export const recoverJobs = Layer.effectDiscard(
  Effect.gen(function* () {
    const jobs = yield* Jobs
    const router = yield* OperationRouter
    yield* jobs.recover((job) =>
      Effect.suspend(() => {
        const resumed = router.resume?.(job)
        return resumed === undefined
          ? repeat(router, job)
          : Effect.map(repeat(router, job), otherwise(resumed))
      })
    )
  })
)
