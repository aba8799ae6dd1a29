import type * as Clock from "effect/Clock"
import { type EngineError, errorInEvent, mayBeError, readEngineError } from "../../http/engineErrors.ts"
import { ConnectionLost } from "./errors.ts"
import { refusalInside } from "./workerRefusal.ts"

// llama-server sends these while it evaluates the prompt, before the first token.
const progressMark = '"prompt_progress":'
const endMark = "[DONE]"

/** Reads the events of one streamed answer, without parsing those that are passed on. */
export class AnswerEvents {
  readonly #worker: string
  readonly #clock: Clock.Clock
  #isAnswering = false
  #isComplete = false
  #failure: EngineError | undefined

  /** When the last event of the answer came, in milliseconds of the clock; absent before the first. */
  lastAt: number | undefined

  constructor(worker: string, clock: Clock.Clock) {
    this.#worker = worker
    this.#clock = clock
  }

  /** The data to pass on; nothing for prompt progress, the end mark and errors. */
  read(data: string, event: string | undefined): string | undefined {
    if (!this.#isAnswering && data.includes(progressMark)) return undefined
    this.#isAnswering = true
    this.lastAt = this.#clock.currentTimeMillisUnsafe()
    if (data === endMark) {
      this.#isComplete = true
      return undefined
    }
    const error =
      event === "error" ? readEngineError(data) : mayBeError(data) ? errorInEvent(data) : undefined
    if (error === undefined) return data
    this.#failure ??= error
    return undefined
  }

  /** Whether nothing of the answer follows. */
  get isOver() {
    return this.#isComplete || this.#failure !== undefined
  }

  /** Why the answer is not complete, when its connection has ended. */
  get incomplete() {
    if (this.#failure !== undefined) return refusalInside(this.#worker, this.#failure)
    return this.#isComplete ? undefined : new ConnectionLost({ reason: "the answer broke off" })
  }
}
