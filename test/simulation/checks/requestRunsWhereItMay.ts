import { mismatch } from "../../../src/queen/scheduler/decide.ts"
import { keyOf, type WorkerView } from "../../../src/queen/scheduler/Fleet.ts"
import type { QueuedRequest } from "../../../src/queen/scheduler/messages.ts"

/** A request runs on a worker that fits it, is not being deleted, and has a free slot for it. */
export const requestRunsWhereItMay = (
  request: QueuedRequest,
  worker: WorkerView,
  {
    isLeaving,
    running,
    slots
  }: { readonly isLeaving: boolean; readonly running: number; readonly slots: number }
) => {
  const missing = mismatch(worker, request)
  if (missing !== undefined) return `${request.id} runs where it may not: ${missing}`
  if (isLeaving) return `${request.id} runs on ${keyOf(worker)}, which is being deleted`
  return running > slots ? `${keyOf(worker)} has ${running} requests and ${slots} slots` : undefined
}
