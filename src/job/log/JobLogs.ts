import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { JobLog } from "./JobLog.ts"
import { MemoryLog } from "./MemoryLog.ts"

/** Creates the log of each new job. */
export class JobLogs extends Context.Service<
  JobLogs,
  {
    readonly make: (jobId: string, limitBytes: number) => Effect.Effect<JobLog>
  }
>()("rbee/job/log/JobLogs") {
  /** Logs in memory. */
  static readonly layerMemory = Layer.succeed(
    JobLogs,
    JobLogs.of({ make: (_jobId, limitBytes) => Effect.sync(() => new MemoryLog(limitBytes)) })
  )
}
