import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { JobEvent, type Progress } from "./log/JobEvent.ts"
import type { LogFull } from "./log/JobLog.ts"
import type { Emit, RunningJob } from "./Submission.ts"

/** Narrates what a job is doing. */
export type Narrate = (action: string, message: string) => Effect.Effect<void>

/** Reports the progress of a job. */
export type ReportProgress = (progress: typeof Progress.Type) => Effect.Effect<void>

/**
 * A handler's work that narrates while it runs, and whose value becomes the job's result. A log that is full drops
 * narration and progress; the result then fails with `LogFull`.
 */
export const withNarration = <E>(
  job: RunningJob,
  emit: Emit,
  actor: string,
  work: (narrate: Narrate, report: ReportProgress) => Effect.Effect<Schema.Json, E>
): Effect.Effect<void, E | LogFull> =>
  Effect.flatMap(
    work(
      (action, message) => Effect.ignore(emit([JobEvent.narration(actor, action, message, job.id)])),
      (progress) => Effect.ignore(emit([JobEvent.progress(progress)]))
    ),
    (answer) => emit([JobEvent.result(answer)])
  )
