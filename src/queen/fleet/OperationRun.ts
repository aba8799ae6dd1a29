import type { OperationError } from "../../job/errors.ts"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { Emit, RunningJob } from "../../job/Submission.ts"
import type { OperationRequest } from "../../operation/Catalog.ts"
import { mayRunTwice, type Routing } from "../../operation/Routing.ts"
import { ConnectionFailed } from "../forward/errors.ts"
import { isHiveError } from "./HiveAttempt.ts"

/** Narration only reports progress; every other event is a part of the answer. */
const isAnswer = ({ kind }: JobEvent) => kind !== "narration"

/** Whether the hive may have received the request before the error. */
const mayHaveArrived = (error: OperationError) =>
  !(error instanceof ConnectionFailed) || error.reason === "reset"

/** An operation for any hive on its way to an answer: the state that its attempts share. */
export class OperationRun {
  readonly request: OperationRequest
  readonly routing: Routing
  readonly job: RunningJob
  readonly #emit: Emit
  readonly #avoidedHives = new Set<string>()
  readonly #avoidedWorkers: Array<string> = []
  #hasBegun = false

  constructor(request: OperationRequest, routing: Routing, job: RunningJob, emit: Emit) {
    this.request = request
    this.routing = routing
    this.job = job
    this.#emit = emit
  }

  /** Whether a part of the answer has been delivered to the job. */
  get hasBegun() {
    return this.#hasBegun
  }

  /** Hives that failed the operation. */
  get avoidedHives(): ReadonlySet<string> {
    return this.#avoidedHives
  }

  /** The keys of workers that were reserved on those hives. */
  get avoidedWorkers(): ReadonlyArray<string> {
    return this.#avoidedWorkers
  }

  narrate(action: string, sentence: string) {
    return this.#emit([JobEvent.narration("qn-sched", action, sentence, this.job.id)])
  }

  relay(events: ReadonlyArray<JobEvent>) {
    this.#hasBegun ||= events.some(isAnswer)
    return this.#emit(events)
  }

  /** Whether another hive can do the work from the beginning, although this one may have started it. */
  get canMove() {
    return !this.#hasBegun && mayRunTwice(this.routing)
  }

  /** Whether another hive gets the operation after this error: only if the hive failed, and no work is done twice. */
  mayRetry(error: OperationError) {
    return !this.#hasBegun && isHiveError(error) && (!mayHaveArrived(error) || mayRunTwice(this.routing))
  }

  /** Excludes a hive, and the worker reserved on it, from later attempts. */
  avoid(hive: string, worker: string | undefined) {
    this.#avoidedHives.add(hive)
    if (worker !== undefined) this.#avoidedWorkers.push(worker)
  }
}
