import type { WorkerState } from "./WorkerRecord.ts"

/** Events of a worker's life. A worker is busy while it has requests, which is not an event. */
export type WorkerEvent =
  /** The worker answers and serves its model. */
  | "answered"
  /** Its process ended and is restarted. */
  | "crashed"
  /** Its process ended and is not restarted. */
  | "gave_up"
  /** The hive stops the worker. */
  | "stop"
  /** The process has ended after a stop. */
  | "ended"
  /** The stopped worker starts again. */
  | "start"

type Lasting = Exclude<WorkerState, "busy">

const moves: Readonly<Record<Lasting, Partial<Record<WorkerEvent, Lasting>>>> = {
  starting: { answered: "ready", crashed: "starting", gave_up: "failed", stop: "draining" },
  ready: { crashed: "starting", gave_up: "failed", stop: "draining" },
  draining: { ended: "stopped" },
  stopped: { start: "starting" },
  failed: { stop: "draining" }
}

/** The state after an event; unchanged when the event does not apply to the state. */
export const next = (state: Lasting, event: WorkerEvent): Lasting => moves[state][event] ?? state

/** The states that change only by an event. */
export type LastingState = Lasting
