import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Routing } from "../operation/Routing.ts"
import type { OperationError } from "./errors.ts"
import type { JobEvent, LoggedEvent } from "./log/JobEvent.ts"
import type { LogFull } from "./log/JobLog.ts"

/** A part of a job's work that runs in another process: a request of a worker, or a job of a hive. */
export interface RemoteWork {
  /** The hive and its job, if the part is a job of a hive. */
  readonly hiveJob?: { readonly hiveId: string; readonly jobId: string } | undefined
  /**
   * Asks the other process to stop and to deliver the rest of its output; returns whether the work then ends by itself.
   * Without `stop`, or when the work does not end in time, a cancel interrupts the work.
   */
  readonly stop?: Effect.Effect<boolean> | undefined
}

/** How the work of a job and `Jobs` coordinate the end of a remote part. */
export interface RemoteHandle {
  /** Whether the hive is to continue although the work is interrupted: this daemon is stopping. */
  readonly isLeftRunning: () => boolean
  /** Records that the other process did not confirm its stop; the `cancelled` event says so. */
  readonly unconfirmed: () => void
}

/** A job, as its work sees it. */
export interface RunningJob {
  readonly id: string
  /** Registers a remote part until the scope closes, so that a cancel reaches it. */
  readonly runsAt: (remote: RemoteWork) => Effect.Effect<RemoteHandle, never, Scope.Scope>
  /** The events that the job's log contains now. */
  readonly readEvents: Effect.Effect<ReadonlyArray<LoggedEvent>>
}

/** Appends events to the job's log, in order; followers see them when it returns. */
export type Emit = (events: ReadonlyArray<JobEvent>) => Effect.Effect<void, LogFull>

/** The work of a job: it emits events and succeeds, or fails with the job's error. */
export type Work = (job: RunningJob, emit: Emit) => Effect.Effect<void, OperationError>

/** Adapts a stream of events to `Work`. */
export const streamWork =
  (events: (job: RunningJob) => Stream.Stream<JobEvent, OperationError>): Work =>
  (job, emit) =>
    Stream.runForEachArray(events(job), emit)

/** A valid request and the work that answers it. */
export interface Submission {
  readonly operation: string
  readonly model?: string | undefined
  readonly hiveId?: string | undefined
  readonly routing: Routing
  /** How long an answer continues after its last follower left; `limits.grace_after_last_follower` when absent. */
  readonly grace?: Duration.Duration | undefined
  /** The actor of the job's first narration, such as `qn-router`. */
  readonly router: string
  readonly work: Work
  /** The request, with which a restarted daemon runs a repeatable operation again. */
  readonly body?: string | undefined
  /** The same key with the same body gives the same job. */
  readonly idempotency?: { readonly key: string; readonly body: string } | undefined
}
