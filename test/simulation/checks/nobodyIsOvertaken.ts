import { mismatch } from "../../../src/queen/scheduler/decide.ts"
import type { WorkerView } from "../../../src/queen/scheduler/Fleet.ts"
import type { QueuedRequest } from "../../../src/queen/scheduler/messages.ts"

/** Requests that have waited for the starvation bound run first, the oldest before the others. */
export const nobodyIsOvertaken = (
  running: QueuedRequest,
  worker: WorkerView,
  waiting: Iterable<QueuedRequest>,
  now: number,
  starvationBound: number
) => {
  for (const other of waiting) {
    if (other === running || other.model !== running.model || mismatch(worker, other) !== undefined) continue
    const waited = now - other.askedAt
    if (waited >= starvationBound && other.askedAt < running.askedAt) {
      return `${running.id} overtakes ${other.id}, which has waited for ${waited} ms`
    }
  }
  return undefined
}
