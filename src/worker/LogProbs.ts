/** A token and the logarithm of its probability. */
export interface TokenLogProb {
  readonly token: string
  readonly logprob: number
  /** The token's UTF-8 bytes; null for a token that is part of a character. */
  readonly bytes: ReadonlyArray<number> | null
}

/** A token of the answer, the offset of its text in the answer, and the most probable tokens at its position. */
export interface AnswerLogProb extends TokenLogProb {
  readonly offset: number
  readonly top: ReadonlyArray<TokenLogProb>
}

// OpenAI's value for an impossible token; JSON cannot represent infinity.
const lowest = -9999

const likeliest = <Token>(probabilities: ReadonlyMap<Token, number>, count: number) => {
  const top: Array<readonly [Token, number]> = []
  if (count === 0) return top
  for (const entry of probabilities) {
    if (top.length === count && entry[1] <= (top.at(-1)?.[1] ?? 0)) continue
    const at = top.findIndex(([, probability]) => probability < entry[1])
    top.splice(at < 0 ? top.length : at, 0, entry)
    if (top.length > count) top.pop()
  }
  return top
}

/** Buffers log probabilities, taken from the sampled distribution, until the text of their tokens is emitted. */
export class LogProbs<Token> {
  readonly #textOf: (token: Token) => string
  readonly #count: number
  #pending: Array<AnswerLogProb> = []

  constructor(textOf: (token: Token) => string, count: number) {
    this.#textOf = textOf
    this.#count = count
  }

  /** Adds a token whose text begins at the offset. */
  push(token: Token, probabilities: ReadonlyMap<Token, number>, offset: number) {
    this.#pending.push({
      ...this.#of(token, probabilities.get(token) ?? 0),
      offset,
      top: likeliest(probabilities, this.#count).map(([other, probability]) => this.#of(other, probability))
    })
  }

  /** Removes and returns the tokens whose text begins before `emitted`, the length of the emitted text. */
  take(emitted: number): ReadonlyArray<AnswerLogProb> {
    const taken = this.#pending.filter(({ offset }) => offset < emitted)
    this.#pending = this.#pending.slice(taken.length)
    return taken
  }

  #of(token: Token, probability: number): TokenLogProb {
    const text = this.#textOf(token)
    return {
      token: text,
      logprob: Math.max(lowest, Math.log(probability)),
      bytes: text.includes("\uFFFD") ? null : [...Buffer.from(text)]
    }
  }
}
