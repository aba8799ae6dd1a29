import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { acquireRelease } from "../http/scopeFinalizers.ts"
import type { JobEnded } from "./errors.ts"
import type { Job } from "./Job.ts"

/** Counts the followers of each job, and cancels an answer some time after its last follower has left. */
export class JobFollowers {
  readonly #scope: Scope.Scope
  readonly #cancel: (job: Job) => Effect.Effect<void, JobEnded>

  constructor(options: {
    /** Of the grace periods. */
    readonly scope: Scope.Scope
    readonly cancel: (job: Job) => Effect.Effect<void, JobEnded>
  }) {
    this.#scope = options.scope
    this.#cancel = options.cancel
  }

  /** Adds a follower, who leaves when the scope closes. */
  enter(job: Job) {
    const enter = Effect.sync(() => {
      job.followers++
      job.visits++
      // A restarted daemon cancels an answer that lost its followers, and no other one.
      if (job.visits === 1 && !job.hasEnded && job.routing.whenAbandoned === "cancel") job.save()
    })
    return acquireRelease(enter, () => this.#leave(job))
  }

  #leave(job: Job) {
    return Effect.suspend(() => {
      job.followers--
      if (job.followers > 0 || job.hasEnded || job.routing.whenAbandoned === "continue") return Effect.void
      const { visits } = job
      return Effect.suspend(() =>
        job.visits === visits && !job.hasEnded ? this.#cancel(job) : Effect.void
      ).pipe(Effect.delay(job.grace), Effect.ignore, Effect.forkIn(this.#scope))
    })
  }
}
