import type { Outcome } from "../scheduler/messages.ts"
import type { DeliveredAnswer } from "./AnswerContinuation.ts"

/** A failed attempt of a request, for which the request itself is not to blame. */
export interface FailedAttempt {
  readonly outcome: Outcome
  /** The number of this attempt; 1 for the first. */
  readonly number: number
  readonly maxAttempts: number
  /** How often a healthy engine failed the request, including this time. */
  readonly engineFailures: number
  /** Whether a part of the answer has been delivered to the job. */
  readonly hasBegun: boolean
  /** Whether the client has received the delivered part; otherwise it receives only the complete answer. */
  readonly isStreamed: boolean
  readonly delivered: Pick<DeliveredAnswer, "canContinue" | "isComplete">
}

/** How a request proceeds with another worker: it starts, continues the delivered text, or answers from the beginning. */
export type Failover = "continue" | "restart" | "retry"

/** A healthy engine's failure repeats on most other workers, so that only one more gets the request. */
const maxEngineFailures = 1

/**
 * How a request proceeds after a failed attempt. `finish`: only the end was lost, and the answer is complete; `fail`: the
 * request fails.
 */
export const decideFailover = (attempt: FailedAttempt): Failover | "fail" | "finish" => {
  const { delivered, engineFailures, hasBegun, isStreamed, maxAttempts, number, outcome } = attempt
  if (hasBegun && delivered.isComplete) return "finish"
  if (number >= maxAttempts) return "fail"
  if (outcome === "engine" && engineFailures > maxEngineFailures) return "fail"
  if (!hasBegun) return "retry"
  if (delivered.canContinue) return "continue"
  return isStreamed ? "fail" : "restart"
}

/** Narrates a failover. `reason`: the failure of the worker; `length`: the characters of the delivered text. */
export const failoverSentence = (failover: Failover, worker: string, reason: string, length: number) => {
  switch (failover) {
    case "retry":
      return `Worker '${worker}' failed before the first token (${reason}); trying another worker`
    case "continue":
      return `Worker '${worker}' failed mid-answer (${reason}); another worker continues after ${length} characters`
    case "restart":
      return `Worker '${worker}' failed mid-answer (${reason}); another worker answers the request again`
  }
}
