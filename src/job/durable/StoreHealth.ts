import * as Effect from "effect/Effect"
import { systemProblem } from "../../settings/systemProblem.ts"

/** Whether the store works, and why not. Logs each change once. */
export class StoreHealth {
  readonly #folder: string
  #problem: string | undefined
  #reported: string | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  get problem() {
    return this.#problem
  }

  failed(error: unknown) {
    this.#problem ??= systemProblem(error)
  }

  recovered() {
    this.#problem = undefined
  }

  readonly report = Effect.suspend(() => {
    const reason = this.#problem
    const isKnown = (reason === undefined) === (this.#reported === undefined)
    this.#reported = reason
    if (isKnown) return Effect.void
    return reason === undefined
      ? Effect.logInfo("the store works again; jobs survive a restart", { folder: this.#folder })
      : Effect.logWarning("the store cannot be written; jobs are kept in memory until it works again", {
          folder: this.#folder,
          reason
        })
  })
}
