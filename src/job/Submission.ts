import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Routing } from "../operation/Routing.ts"
import type { OperationError } from "./errors.ts"
import type { JobEvent, LoggedEvent } from "./log/JobEvent.ts"
import type { LogFull } from "./log/JobLog.ts"

/** What a running job may say to `Jobs` about itself. */
export interface RunningJob {
  readonly id: string
  /** The job is run by a hive, as that hive's job. */
  readonly setHiveJob: (hiveId: string, hiveJobId: string) => Effect.Effect<void>
  /**
   * How to ask the work to stop so that it first delivers what it has made; gives whether the stream ends by itself then.
   * Without it, or when the stream does not end in time, a cancel interrupts the stream.
   */
  readonly onCancel: (stop: Effect.Effect<boolean>) => Effect.Effect<void>
  /** Says that the worker did not confirm that it stopped the work; a cancelled job's last event tells so. */
  readonly unconfirmed: Effect.Effect<void>
  /**
   * Whether the work is left to the hive that runs it, because this daemon stops: leaving its stream must not cancel it
   * there.
   */
  readonly isLeftRunning: () => boolean
  /** Ends the work from outside of its stream, as if the stream had failed. */
  readonly fail: (error: OperationError) => Effect.Effect<void>
  /** Writes into the job's log what does not come through the stream; after what came through it so far. */
  readonly write: (events: ReadonlyArray<JobEvent>) => Effect.Effect<void, LogFull>
  /** All that the job's log holds by now. */
  readonly readEvents: Effect.Effect<ReadonlyArray<LoggedEvent>>
}

/** The work of a job: its events, in order, or why it failed. */
export type Work = (job: RunningJob) => Stream.Stream<JobEvent, OperationError>

/** A request that was found to be in order, and what it will run. */
export interface Submission {
  readonly operation: string
  readonly hiveId?: string | undefined
  readonly routing: Routing
  /** How long an answer goes on when its last follower has left; `limits.grace_after_last_follower` when absent. */
  readonly grace?: Duration.Duration | undefined
  /** Who says that the operation is executed, such as `qn-router`. */
  readonly router: string
  readonly work: Work
  /** The same key with the same body gives the same job. */
  readonly idempotency?: { readonly key: string; readonly body: string } | undefined
}
