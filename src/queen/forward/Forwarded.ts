import type * as Effect from "effect/Effect"
import type { JobEvent } from "../../job/log/JobEvent.ts"
import type { RunningJob } from "../../job/Submission.ts"
import type { Routing } from "../../operation/Routing.ts"
import type { ForwardError } from "./errors.ts"

/** What an interrupt of the forwarding does to the hive's job. */
export interface LeavingOptions {
  /** Whether the hive is to continue when the forwarding is interrupted; absent: the queen's job decides, without one it is cancelled. */
  readonly isLeftRunning?: (() => boolean) | undefined
}

/** A request for a hive, as text. */
export interface Forwarded extends LeavingOptions {
  readonly operation: string
  readonly hiveId: string
  /** The JSON that the hive receives. */
  readonly json: string
  readonly routing: Routing
  /** Whether the caller can do the work on another hive now, should this one be gone. Absent: if it is repeatable. */
  readonly canMove?: (() => boolean) | undefined
  /** The job of the hive that does the work already, and its last known event. Absent: a job is submitted. */
  readonly resumed?: { readonly jobId: string; readonly after: number } | undefined
  /** The queen's job whose work this is, if any. */
  readonly job?: RunningJob | undefined
}

/** Takes the events of a hive's job, batch by batch. */
export type TakeEvents<E> = (events: ReadonlyArray<JobEvent>) => Effect.Effect<void, E>

/** Runs a request on its hive and takes its events as the hive sent them. */
export type ForwardJson = <E>(
  request: Forwarded,
  emit: TakeEvents<E>
) => Effect.Effect<void, ForwardError | E>
