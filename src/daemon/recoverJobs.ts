import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { InterruptedJob } from "../job/JobRecovery.ts"
import { Jobs } from "../job/Jobs.ts"
import { OperationRouter } from "../job/OperationRouter.ts"

/** Runs the request again, if the operation is repeatable and nothing of its answer was seen. */
const repeat = (router: OperationRouter["Service"], { facts: { plan }, hasAnswered }: InterruptedJob) =>
  plan?.body === undefined || !plan.repeatable || hasAnswered
    ? Effect.succeed(undefined)
    : router.route(plan.body).pipe(
        Effect.map(({ work }) => work),
        Effect.orElseSucceed(() => undefined)
      )

/**
 * Continues the jobs that an earlier process of this daemon left unfinished: with the work that the router finds, or by
 * running a repeatable request again. The others fail with `Interrupted`. All handlers must have been added before.
 */
export const recoverJobs = Layer.effectDiscard(
  Effect.gen(function* () {
    const jobs = yield* Jobs
    const router = yield* OperationRouter
    yield* jobs.recover((job) =>
      Effect.suspend(() => {
        const work = router.resume?.(job)
        return work === undefined ? repeat(router, job) : Effect.succeed(work)
      })
    )
  })
)
