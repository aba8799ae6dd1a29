import { contextNeed, longerNeed } from "../../gateway/upstream/contextNeed.ts"
import { requiredCapabilities } from "../../gateway/upstream/requiredCapabilities.ts"
import type { GatewayRequest } from "../../gateway/upstream/Upstream.ts"
import type { OperationError } from "../../job/errors.ts"
import { JobEvent, type LoggedEvent } from "../../job/log/JobEvent.ts"
import type { Emit, RunningJob } from "../../job/Submission.ts"
import type { Outcome } from "../scheduler/messages.ts"
import type { ReservationRequest } from "../scheduler/Scheduler.ts"
import { AnswerContinuation, type DeliveredAnswer } from "./AnswerContinuation.ts"
import type { Failover } from "./failover.ts"
import { modelRequirements } from "./modelRequirements.ts"

/** One attempt to have a request answered by a worker. */
export interface RequestAttempt {
  /** 1 for the first. */
  readonly number: number
  readonly body: GatewayRequest["body"]
  /**
   * The failure of the attempt before, if a healthy engine failed it: then only a worker that serves already gets the
   * request, and without one the request fails with this error.
   */
  readonly engineFailure?: OperationError | undefined
}

/** An application's request on its way to an answer: the state that its attempts share. Times in milliseconds. */
export class RequestRun {
  readonly request: GatewayRequest
  readonly job: RunningJob
  readonly #emit: Emit
  readonly #requirements: Omit<ReservationRequest, "attempt" | "avoid" | "id" | "minContext" | "waitMs">
  readonly #startedAt: number
  readonly #avoidedWorkers: Array<string> = []
  #answer: AnswerContinuation
  /** The id of the last event before the current answer; earlier ones belong to an abandoned answer. */
  #eventsBefore = 0
  #minContext: number | undefined
  #hasSoughtLongerContext = false
  #engineFailures = 0

  constructor(request: GatewayRequest, job: RunningJob, emit: Emit, now: number) {
    this.request = request
    this.job = job
    this.#emit = emit
    this.#requirements = {
      ...modelRequirements(request.model, request.prompt, request.body),
      capabilities: requiredCapabilities(request),
      key: request.key,
      priority: request.priority
    }
    this.#startedAt = now
    this.#answer = new AnswerContinuation(request)
    this.#minContext = contextNeed(request)
  }

  /** Whether a part of the answer has been delivered to the job. */
  get hasBegun() {
    return this.#answer.hasBegun
  }

  /** How often a healthy engine failed the request. */
  get engineFailures() {
    return this.#engineFailures
  }

  narrate(action: string, sentence: string) {
    return this.#emit([JobEvent.narration("qn-sched", action, sentence, this.job.id)])
  }

  /** What the attempt asks of the scheduler. The deadline is that of the request, whatever the number of attempts. */
  reservation({ engineFailure, number }: RequestAttempt, now: number): ReservationRequest {
    const { waitMs } = this.request
    return {
      ...this.#requirements,
      id: this.job.id,
      attempt: number,
      avoid: [...this.#avoidedWorkers],
      servingOnly: engineFailure !== undefined,
      minContext: this.#minContext,
      waitMs: waitMs === undefined ? undefined : Math.max(0, waitMs - (now - this.#startedAt))
    }
  }

  /** Emits those of a worker's events that the client should receive, as if one worker had written the complete answer. */
  relay(events: ReadonlyArray<JobEvent>, attempt: number) {
    const visible = events.filter((event) => this.#answer.observe(event))
    return this.#emit(
      attempt === 1 ? visible : visible.map((event) => this.#answer.withCorrectedUsage(event))
    )
  }

  /** Excludes workers, by their keys, from later attempts. */
  avoid(workers: ReadonlyArray<string>) {
    this.#avoidedWorkers.push(...workers)
  }

  recordFailure(outcome: Outcome) {
    if (outcome === "engine") this.#engineFailures++
  }

  /** The delivered part of the current answer, among all events of the job. */
  delivered(events: ReadonlyArray<LoggedEvent>) {
    return this.#answer.delivered(events.filter(({ id }) => id > this.#eventsBefore))
  }

  /** Prepares another worker's answer; gives the body of its request. `lastEvent`: the id of the job's last event. */
  prepare(failover: Failover, delivered: DeliveredAnswer, lastEvent: number) {
    if (failover !== "restart") {
      this.#answer.next(delivered)
      return delivered.body
    }
    this.#eventsBefore = lastEvent
    this.#answer = new AnswerContinuation(this.request)
    this.request.onRestarted(lastEvent)
    return this.request.body
  }

  /**
   * The context length to try next, once for each request, after a worker rejected the prompt as too long; undefined: the
   * error stands. `contextSize`: that of the worker, in tokens.
   */
  longerContext(contextSize: number, error: OperationError) {
    const code = error.failure?.code ?? error._tag
    if (code !== "ContextLengthExceeded" || this.hasBegun || this.#hasSoughtLongerContext) return undefined
    return longerNeed(this.request, contextSize, error.message)
  }

  /** Demands a context of so many tokens from later workers. */
  requireContext(tokens: number) {
    this.#hasSoughtLongerContext = true
    this.#minContext = tokens
  }
}
