import type { WorkerState } from "./WorkerRecord.ts"

/** What happens to a worker. That it is busy follows from its requests, and is no event. */
export type WorkerEvent =
  /** It answers and serves its model. */
  | "answered"
  /** Its process ended, and another follows. */
  | "crashed"
  /** Its process ended, and none follows. */
  | "gave_up"
  /** It is to end. */
  | "stop"
  /** It ended because it should. */
  | "ended"
  /** It is to start again. */
  | "start"

type Lasting = Exclude<WorkerState, "busy">

const moves: Readonly<Record<Lasting, Partial<Record<WorkerEvent, Lasting>>>> = {
  starting: { answered: "ready", crashed: "starting", gave_up: "failed", stop: "draining" },
  ready: { crashed: "starting", gave_up: "failed", stop: "draining" },
  draining: { ended: "stopped" },
  stopped: { start: "starting" },
  failed: { stop: "draining" }
}

/** The state after an event; the same one where the event has no meaning. */
export const next = (state: Lasting, event: WorkerEvent): Lasting => moves[state][event] ?? state

/** The states in which a worker stays until something happens. */
export type LastingState = Lasting
