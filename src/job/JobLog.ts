import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { LogFull } from "./errors.ts"
import type { JobEvent, LoggedEvent } from "./JobEvent.ts"
import { MemoryLog } from "./MemoryLog.ts"

/** The place of one follower in a log. */
export interface Cursor {
  /** The id of the last event that was read; 0 before the first. */
  readonly after: number
  /** The highest id of a dropped event that the follower was told of. */
  readonly toldOf: number
}

/** What a follower got by one read, and its place after it. */
export interface Batch {
  readonly events: ReadonlyArray<LoggedEvent>
  readonly next: Cursor
  /** Whether the last of these events is the job's end, so that nothing will follow. */
  readonly ended: boolean
}

/**
 * The events of one job, numbered from 1. One writer, any number of readers, each with a cursor of its own; readers
 * wait for the log and never for one another.
 */
export interface JobLog {
  /** Appends in order. Drops the oldest narration when the limit is reached; fails when that is not enough. */
  append(events: ReadonlyArray<JobEvent>): Effect.Effect<void, LogFull>
  /** Appends the end event, which always has room. What comes after it is ignored. */
  end(event: JobEvent): Effect.Effect<void>
  /** Reads what stands after the cursor, at most `readBytes` of it; empty when there is nothing yet. */
  read(cursor: Cursor): Effect.Effect<Batch>
  /** The id of the newest event; 0 before the first. */
  lastId(): number
  /** Calls the listener after each append until the returned function is called. */
  onAppend(listener: () => void): () => void
  /** The size of what is kept, in bytes. */
  readonly bytes: Effect.Effect<number>
}

/** Makes the log of each new job. */
export class JobLogs extends Context.Service<
  JobLogs,
  {
    readonly make: (jobId: string, limitBytes: number) => Effect.Effect<JobLog>
  }
>()("rbee/job/JobLog/JobLogs") {
  /** Logs that live as long as the process. */
  static readonly layerMemory = Layer.succeed(
    JobLogs,
    JobLogs.of({ make: (_jobId, limitBytes) => Effect.sync(() => new MemoryLog(limitBytes)) })
  )
}

/** Before the first event. */
export const start: Cursor = { after: 0, toldOf: 0 }

/** Everything that a log holds now. */
export const readAll = Effect.fnUntraced(function* (log: JobLog) {
  const events: Array<LoggedEvent> = []
  for (let batch = yield* log.read(start); batch.events.length > 0; batch = yield* log.read(batch.next)) {
    events.push(...batch.events)
  }
  return events
})
