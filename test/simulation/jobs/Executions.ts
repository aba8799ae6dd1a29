import { Clock, Deferred, Effect } from "effect"
import type { Emit, RunningJob, Work } from "../../../src/job/Submission.ts"
import type { Plan } from "./plans.ts"

/** One time that a hive worked on a request. */
export interface Execution {
  readonly plan: Plan
  readonly jobId: string
  readonly startedAt: number
  /** Absent as long as the work goes on. */
  endedAt: number | undefined
}

class EndedBadly {
  readonly _tag = "EndedBadly"
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** What the hives do for one request. */
const perform = Effect.fnUntraced(function* (plan: Plan, job: RunningJob, emit: Emit) {
  const stopped = yield* Deferred.make<void>()
  const stop = Effect.sleep(plan.stopTakes).pipe(
    Effect.andThen(Deferred.succeed(stopped, undefined)),
    Effect.as(true)
  )
  if (plan.stopsItself) yield* job.runsAt({ stop })
  const steps = Effect.forEach(
    plan.steps,
    ({ events, wait }) => Effect.andThen(Effect.sleep(wait), emit(events)),
    { discard: true }
  )
  const ending = plan.ends === "well" ? Effect.void : Effect.fail(new EndedBadly(`${plan.id} ends badly`))
  yield* Effect.raceFirst(Effect.andThen(steps, ending), Deferred.await(stopped)).pipe(
    Effect.onInterrupt(() => Effect.sleep(plan.stopTakes))
  )
}, Effect.scoped)

/** What the hives do, and have done. */
export class Executions {
  readonly all: Array<Execution> = []

  of(plan: Plan) {
    return this.all.filter((execution) => execution.plan === plan)
  }

  /** The work of a hive for a request. */
  work(plan: Plan): Work {
    return (job, emit) =>
      Clock.clockWith((clock) => {
        const execution: Execution = {
          plan,
          jobId: job.id,
          startedAt: clock.currentTimeMillisUnsafe(),
          endedAt: undefined
        }
        this.all.push(execution)
        const ended = Effect.sync(() => {
          execution.endedAt = clock.currentTimeMillisUnsafe()
        })
        return Effect.ensuring(perform(plan, job, emit), ended)
      })
  }
}
