import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { JobEvent, type Progress } from "./log/JobEvent.ts"
import type { RunningJob } from "./Submission.ts"

/** Tells the followers of a job what is being done. */
export type Narrate = (action: string, message: string) => Effect.Effect<void>

/** Tells the followers of a job how far it has come. */
export type ReportProgress = (progress: typeof Progress.Type) => Effect.Effect<void>

/** A handler's work as a stream: what it says while it goes on, and its answer at the end. */
export const withNarration = <E>(
  job: RunningJob,
  actor: string,
  work: (narrate: Narrate, report: ReportProgress) => Effect.Effect<Schema.Json, E>
): Stream.Stream<JobEvent, E> =>
  Stream.callback<JobEvent, E>((queue) =>
    work(
      (action, message) =>
        Effect.asVoid(Queue.offer(queue, JobEvent.narration(actor, action, message, job.id))),
      (progress) => Effect.asVoid(Queue.offer(queue, JobEvent.progress(progress)))
    ).pipe(
      Effect.flatMap((answer) => Queue.offer(queue, JobEvent.result(answer))),
      Effect.andThen(Queue.end(queue))
    )
  )
