import { keyOf } from "../../../src/queen/scheduler/Fleet.ts"
import type { QueuedRequest } from "../../../src/queen/scheduler/messages.ts"
import type { SchedulerCore } from "../../../src/queen/scheduler/SchedulerCore.ts"

/**
 * No request waits while a worker could run it: not for the load of another model, and for nothing else but the load of
 * its own worker. Gives the sentence of the first that does.
 */
export const nobodyWaitsForNothing = (
  waiting: Iterable<QueuedRequest>,
  explain: SchedulerCore["explain"],
  now: number
) => {
  // Those who need the same get the same answer.
  const answered = new Set<string>()
  for (const request of waiting) {
    const needs = `${request.model} ${request.contextSize} ${request.hive}`
    if (answered.has(needs)) continue
    answered.add(needs)
    const { decision } = explain(request, now)
    if (decision._tag === "Run") return `${request.id} waits and could run on ${keyOf(decision.worker)}`
  }
  return undefined
}
