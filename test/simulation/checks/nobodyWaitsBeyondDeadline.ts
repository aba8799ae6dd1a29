import type { QueuedRequest } from "../../../src/queen/scheduler/messages.ts"

/** A request is refused at its deadline. */
export const nobodyWaitsBeyondDeadline = (waiting: Iterable<QueuedRequest>, now: number) => {
  for (const { deadline, id } of waiting) if (deadline <= now) return `${id} waits beyond its deadline`
  return undefined
}
