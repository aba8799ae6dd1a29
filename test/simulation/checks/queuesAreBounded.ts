import type { QueuedRequest } from "../../../src/queen/scheduler/messages.ts"

/** No model has more waiting requests than its queue has places. */
export const queuesAreBounded = (waiting: Iterable<QueuedRequest>, queueLength: number) => {
  const lengths = new Map<string, number>()
  for (const { model } of waiting) lengths.set(model, (lengths.get(model) ?? 0) + 1)
  for (const [model, length] of lengths)
    if (length > queueLength) return `${length} requests wait for ${model}`
  return undefined
}
