import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { JobEvent, LoggedEvent } from "./JobEvent.ts"

/** The job's log is full, although all narration and progress has been dropped. */
export class LogFull extends Schema.TaggedError<LogFull>()("LogFull", { limitBytes: Schema.Finite }) {
  override get message() {
    return `The job wrote more than its log may hold, ${this.limitBytes} bytes (limits.log_bytes)`
  }
}

/** The position of a follower in a log. */
export interface Cursor {
  /** The id of the last event that the follower has read; 0 before the first. */
  readonly after: number
  /** The highest id of a dropped event that was reported to the follower. */
  readonly reportedDropped: number
}

/** The result of one read. */
export interface Batch {
  readonly events: ReadonlyArray<LoggedEvent>
  readonly next: Cursor
  /** Whether the last of these events is the job's end event. */
  readonly ended: boolean
}

/**
 * The events of one job, numbered from 1, with one writer and any number of followers. Each follower has its own cursor
 * and never waits for another one.
 */
export interface JobLog {
  /** Appends in order; followers see the events soon after. At the limit it drops the oldest narration and progress; fails when that is not enough. */
  append(events: ReadonlyArray<JobEvent>): Effect.Effect<void, LogFull>
  /** Appends the end event, for which there is always room. Later events are ignored. */
  end(event: JobEvent): Effect.Effect<void>
  /** Reads the next events after the cursor, about 256 KiB of them; empty while there are none. */
  read(cursor: Cursor): Effect.Effect<Batch>
  /** All events, also those that followers do not see yet. */
  readonly all: Effect.Effect<ReadonlyArray<LoggedEvent>>
  /** The id of the newest event, also if followers do not see it yet; 0 before the first. */
  lastWrittenId(): number
  /** The id of the newest event that followers see; 0 before the first. */
  lastId(): number
  /** Calls the listener after each append until the returned function is called. */
  onAppend(listener: () => void): () => void
  /** The size of the events, in bytes. */
  readonly bytes: Effect.Effect<number>
}

/** The position before the first event. */
export const start: Cursor = { after: 0, reportedDropped: 0 }
