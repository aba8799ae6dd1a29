import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { JobFacts } from "./JobFacts.ts"
import type { JobLog } from "./log/JobLog.ts"

/** An idempotency key, its job, and the digest of the body that it came with. */
export interface StoredKey {
  readonly key: string
  readonly jobId: string
  readonly digest: string
}

/** An unfinished job of an earlier process, with everything that it wrote. */
export interface RestoredJob {
  readonly facts: JobFacts
  readonly log: JobLog
  readonly key: StoredKey | undefined
}

/** Keeps jobs beyond the end of the process. Without a store, all members do nothing. */
export class JobStore extends Context.Service<
  JobStore,
  {
    /** Records a new job, with its idempotency key, or a change of a job. */
    readonly save: (facts: JobFacts, key?: StoredKey) => void
    /** Returns when everything that was recorded so far survives the end of the process. */
    readonly written: Effect.Effect<void>
    /** Whether an ended job can be read from the store, so that memory need not keep it. */
    readonly hasStored: (id: string) => boolean
    /** Says that memory no longer keeps the job. */
    readonly forget: (id: string) => void
    /** The unfinished jobs of an earlier process; each is restored once. */
    readonly restored: ReadonlyArray<RestoredJob>
    /** An ended job. */
    readonly find: (id: string) => Effect.Effect<JobFacts | undefined>
    readonly findKey: (key: string) => Effect.Effect<StoredKey | undefined>
    /** Ended jobs, newest first. */
    readonly ended: (limit: number) => Effect.Effect<ReadonlyArray<JobFacts>>
    /** The log of an ended job. If it was dropped, only the end event is left. */
    readonly readLog: (facts: JobFacts) => Effect.Effect<JobLog>
    /** Whether ended jobs outlive their place in memory. */
    readonly isDurable: boolean
    /** Why jobs are currently kept in memory only, although they should be stored. */
    readonly problem: () => string | undefined
  }
>()("rbee/job/JobStore") {
  /** Keeps nothing: jobs live as long as the process. */
  static readonly layerMemory = Layer.succeed(
    JobStore,
    JobStore.of({
      save: () => {},
      written: Effect.void,
      hasStored: () => true,
      forget: () => {},
      restored: [],
      find: () => Effect.succeed(undefined),
      findKey: () => Effect.succeed(undefined),
      ended: () => Effect.succeed([]),
      readLog: () => Effect.die("A store without jobs has no logs"),
      isDurable: false,
      problem: () => undefined
    })
  )
}
