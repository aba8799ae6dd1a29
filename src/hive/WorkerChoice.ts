import type { Entry } from "./WorkerLife.ts"
import type { LastingState } from "./workerStates.ts"

/** What a request needs of a worker. */
export interface LeaseRequest {
  readonly model: string
  /** 0 leaves the choice open, as it does when a worker is placed. */
  readonly device?: number | undefined
  readonly workerId?: string | undefined
}

/** Whether the worker has the model, on the device if one was named. */
export const suits = ({ spec }: Entry, { device = 0, model }: LeaseRequest) =>
  spec.model === model && (device === 0 || spec.device === device)

/** The worker in a state that suits the request and has the fewest requests; the oldest of those. */
export const leastBusy = (entries: Iterable<Entry>, request: LeaseRequest, state: LastingState) => {
  let best: Entry | undefined
  for (const entry of entries) {
    if (entry.state !== state || !suits(entry, request)) continue
    if (best === undefined || entry.requests < best.requests) best = entry
  }
  return best
}
