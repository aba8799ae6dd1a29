import { readChunk, tokensOf } from "../../job/view/EngineChunk.ts"
import type { CompletionApi } from "../../operation/fields.ts"
import { estimateTokens } from "../../operation/promptSize.ts"

const typicalAnswerTokens = 256

const positive = (value: unknown) => (typeof value === "number" && value > 0 ? value : undefined)

/** Counts the tokens of a request for a key with a token limit. */
export class TokenMeter {
  readonly #prompt: string
  readonly #counts: boolean
  #pieces = 0
  /** The last chunk or result; an engine reports the usage at the end. */
  #last = ""
  #beforeLast = ""

  constructor(prompt: string, counts: boolean) {
    this.#prompt = prompt
    this.#counts = counts
  }

  /** The tokens that the request may need: its prompt, plus the requested or a typical length of each answer. */
  estimate({ api, body }: { readonly api: CompletionApi; readonly body: Readonly<Record<string, unknown>> }) {
    const answers = api === "embeddings" ? 0 : (positive(body["n"]) ?? 1)
    const maxTokens =
      positive(body["max_tokens"]) ?? positive(body["max_completion_tokens"]) ?? typicalAnswerTokens
    return this.#promptTokens + answers * maxTokens
  }

  note(json: string) {
    if (!this.#counts) return
    this.#pieces++
    this.#beforeLast = this.#last
    this.#last = json
  }

  /** The tokens of the request: the engine's count, or an estimate from the received chunks. */
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
