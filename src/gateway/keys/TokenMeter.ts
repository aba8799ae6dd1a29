import { readChunk, tokensOf } from "../../job/view/EngineChunk.ts"
import type { CompletionApi } from "../../operation/fields.ts"
import { estimateTokens } from "../../operation/promptSize.ts"

const usualAnswerTokens = 256

const positive = (value: unknown) => (typeof value === "number" && value > 0 ? value : undefined)

/** Counts the tokens of a request for a key that has only so many of them. */
export class TokenMeter {
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

  /** How many tokens the request may need: its prompt, and the answer that it asks for or a usual one. */
  estimate({ api, body }: { readonly api: CompletionApi; readonly body: Readonly<Record<string, unknown>> }) {
    const answers = api === "embeddings" ? 0 : (positive(body["n"]) ?? 1)
    const longest =
      positive(body["max_tokens"]) ?? positive(body["max_completion_tokens"]) ?? usualAnswerTokens
    return this.#promptTokens + answers * longest
  }

  note(json: string) {
    if (!this.#counts) return
    this.#pieces++
    this.#beforeLast = this.#last
    this.#last = json
  }

  /** As the engine counted, else as they can be estimated from what came. */
  get tokens() {
    if (this.#pieces === 0) return 0
    const counted = [this.#last, this.#beforeLast].find((json) => json.includes('"usage":{'))
    if (counted !== undefined) {
      const { completion, prompt } = tokensOf(readChunk(counted)?.usage)
      return prompt + completion
    }
    return this.#pieces + this.#promptTokens
  }

  get #promptTokens() {
    return estimateTokens(this.#prompt.length)
  }
}
