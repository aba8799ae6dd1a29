import type { Constraints } from "./decide.ts"
import type { InternalEvent, QueuedRequest, WorkerDemand } from "./messages.ts"

/** Whether two requests may be served by the same new worker, apart from its context length. */
export const haveSameConstraints = (left: Constraints, right: Constraints) =>
  left.hive === right.hive &&
  left.device === right.device &&
  left.engine === right.engine &&
  String(left.capabilities) === String(right.capabilities)

/** The demand for one more worker, for all waiting requests with the constraints of `request`. */
const demandOf = (
  model: string,
  request: QueuedRequest,
  waiting: ReadonlyArray<QueuedRequest>,
  extra: boolean
): WorkerDemand => {
  let since = request.askedAt
  let contextSize = 0
  let minContext = 0
  for (const other of waiting) {
    if (!haveSameConstraints(other, request)) continue
    since = Math.min(since, other.askedAt)
    contextSize = Math.max(contextSize, other.contextSize ?? 0)
    minContext = Math.max(minContext, other.minContext ?? 0)
  }
  const { capabilities, device, engine, hive, parallel } = request
  const size = contextSize === 0 ? { minContext } : { contextSize }
  return { model, since, extra, hive, device, parallel, engine, capabilities, ...size }
}

/** Tracks whether a model demands one more worker: because none can serve a request, or because all are busy for long. */
export class WorkerDemands {
  readonly #model: string
  readonly #scaleAfter: number
  #demanded: "no" | "extra" | "required" = "no"

  constructor(model: string, scaleAfter: number) {
    this.#model = model
    this.#scaleAfter = scaleAfter
  }

  /** The demand was met or refused; the next update raises it again if necessary. */
  reset() {
    this.#demanded = "no"
  }

  /**
   * The events that bring the placement manager up to date. `unserved`: the first waiting request that no worker can serve
   * soon.
   */
  update(
    waiting: ReadonlyArray<QueuedRequest>,
    unserved: QueuedRequest | undefined,
    now: number
  ): ReadonlyArray<InternalEvent> {
    const request = unserved ?? waiting[0]
    if (request === undefined) return this.#demanded === "no" ? [] : this.#withdraw()
    const extra = unserved === undefined
    const demand = demandOf(this.#model, request, waiting, extra)
    if (extra && now - demand.since < this.#scaleAfter) {
      return this.#demanded === "required" ? this.#withdraw() : []
    }
    const kind = extra ? "extra" : "required"
    if (this.#demanded === kind) return []
    this.#demanded = kind
    return [{ _tag: "Wanted", demand }]
  }

  #withdraw(): ReadonlyArray<InternalEvent> {
    this.#demanded = "no"
    return [{ _tag: "Unwanted", model: this.#model }]
  }
}
