import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Interrupted } from "./errors.ts"
import { Job } from "./Job.ts"
import type { JobFacts } from "./JobFacts.ts"
import type { JobFollowers } from "./JobFollowers.ts"
import type { JobRunner } from "./JobRunner.ts"
import type { JobStore, RestoredJob } from "./JobStore.ts"
import type { JobTable } from "./JobTable.ts"
import { isDroppable } from "./log/JobEvent.ts"
import type { Work } from "./Submission.ts"

/** An unfinished job of an earlier process. */
export interface InterruptedJob {
  readonly facts: JobFacts
  /** Whether something of its answer is in the log, so that a follower may have seen it. */
  readonly hasAnswered: boolean
  /** The hive's job that does the work, and its last event that the log has. */
  readonly hiveJob: { readonly hiveId: string; readonly jobId: string; readonly after: number } | undefined
}

/** Finds the work that continues an interrupted job; undefined if there is none. */
export type Resume = (job: InterruptedJob) => Effect.Effect<Work | undefined>

const isAnswer = ({ facts: { plan } }: RestoredJob) => plan?.whenAbandoned === "cancel"

const hiveJobOf = ({ facts: { hiveId, hiveJobId, plan }, log }: RestoredJob) =>
  hiveId === undefined || hiveJobId === undefined || plan?.ownEvents === undefined
    ? undefined
    : { hiveId, jobId: hiveJobId, after: Math.max(0, log.lastWrittenId() - plan.ownEvents) }

const interruption = (restored: RestoredJob) => {
  const { operation, plan } = restored.facts
  const hasEffects = !isAnswer(restored) && plan?.repeatable !== true
  return new Interrupted({ operation, hasEffects })
}

/** Brings back the unfinished jobs of an earlier process. */
export class JobRecovery {
  readonly #followers: JobFollowers
  readonly #runner: JobRunner
  #waiting: ReadonlyArray<readonly [RestoredJob, Job]>

  constructor(options: {
    readonly followers: JobFollowers
    readonly runner: JobRunner
    readonly store: JobStore["Service"]
    readonly table: JobTable
    /** The least time that an answer waits for its followers to come back. */
    readonly grace: Duration.Duration
  }) {
    const { grace, store, table } = options
    this.#followers = options.followers
    this.#runner = options.runner
    this.#waiting = store.restored.map((restored) => {
      const { createdAt, hiveId, id, model, operation, plan } = restored.facts
      const job = new Job({
        id,
        operation,
        model,
        hiveId,
        routing: plan ?? { repeatable: false, whenAbandoned: "continue", occupiesWorker: false },
        idempotencyKey: restored.key?.key,
        body: plan?.body,
        ownEvents: plan?.ownEvents,
        grace: Duration.max(grace, Duration.millis(plan?.graceMillis ?? 0)),
        log: restored.log,
        createdAt,
        onChange: ({ facts }) => store.save(facts)
      })
      job.hiveJobId = restored.facts.hiveJobId
      job.startedAt = restored.facts.startedAt
      table.add(job, restored.key)
      return [restored, job]
    })
  }

  /** Continues the restored jobs for which there is work; the others fail with `Interrupted`. */
  readonly recover = Effect.fnUntraced(function* (this: JobRecovery, resume: Resume) {
    const waiting = this.#waiting
    this.#waiting = []
    for (const [restored, job] of waiting) {
      const events = yield* job.log.all
      const hasAnswered = events.some(({ kind }) => !isDroppable(kind))
      const work = yield* resume({
        facts: restored.facts,
        hasAnswered,
        hiveJob: hiveJobOf(restored)
      })
      this.#runner.admit(job)
      yield* this.#runner.launch(job, work ?? (() => Effect.fail(interruption(restored))))
      // The followers of the earlier process are gone; an answer waits for them, and not for ever.
      const hasLostFollowers = isAnswer(restored) && restored.facts.plan?.wasFollowed === true
      if (work !== undefined && hasLostFollowers) yield* Effect.scoped(this.#followers.enter(job))
    }
  })
}
