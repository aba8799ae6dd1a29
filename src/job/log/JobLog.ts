import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { JobEvent, LoggedEvent } from "./JobEvent.ts"

/** The job wrote more than its log may hold, not counting the narration that was dropped. */
export class LogFull extends Schema.TaggedError<LogFull>()("LogFull", { limitBytes: Schema.Finite }) {
  override get message() {
    return `The job wrote more than its log may hold, ${this.limitBytes} bytes (limits.log_bytes)`
  }
}

/** The place of one follower in a log. */
export interface Cursor {
  /** The id of the last event that was read; 0 before the first. */
  readonly after: number
  /** The highest id of a dropped event that the follower was told of. */
  readonly reportedDropped: number
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

/** Before the first event. */
export const start: Cursor = { after: 0, reportedDropped: 0 }

/** Everything that a log holds now. */
export const readAll = Effect.fnUntraced(function* (log: JobLog) {
  const events: Array<LoggedEvent> = []
  for (let batch = yield* log.read(start); batch.events.length > 0; batch = yield* log.read(batch.next)) {
    events.push(...batch.events)
  }
  return events
})
