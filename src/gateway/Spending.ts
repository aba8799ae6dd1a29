import * as Effect from "effect/Effect"
import type { ApiKey } from "../config/ApiKey.ts"
import { readChunk, tokensOf } from "../job/EngineChunk.ts"
import { addFinalizer } from "../job/lightScope.ts"
import type { KeyLimits } from "./KeyLimits.ts"

const charactersPerToken = 4

/** Counts the tokens of a request for a key that has only so many of them. */
export class Spending {
  readonly #prompt: string
  readonly #counts: boolean
  #pieces = 0
  /** What came last: an engine counts at the end. */
  #last = ""
  #beforeLast = ""

  constructor(prompt: string, counts: boolean) {
    this.#prompt = prompt
    this.#counts = counts
  }

  /** Books what was counted when the scope closes, whole or not. */
  static readonly open = Effect.fnUntraced(function* (
    limits: KeyLimits["Service"],
    key: ApiKey | undefined,
    prompt: string
  ) {
    const spending = new Spending(prompt, key?.tokens_per_minute !== undefined)
    if (key !== undefined) yield* addFinalizer(() => limits.spend(key, spending.#tokens))
    return spending
  })

  note(json: string) {
    if (!this.#counts) return
    this.#pieces++
    this.#beforeLast = this.#last
    this.#last = json
  }

  /** As the engine counted, else as they can be estimated from what came. */
  get #tokens() {
    if (this.#pieces === 0) return 0
    const counted = [this.#last, this.#beforeLast].find((json) => json.includes('"usage":{'))
    if (counted !== undefined) {
      const { completion, prompt } = tokensOf(readChunk(counted)?.usage)
      return prompt + completion
    }
    return this.#pieces + Math.ceil(this.#prompt.length / charactersPerToken)
  }
}
