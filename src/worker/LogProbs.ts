/** A token and the logarithm of its probability. */
export interface TokenLogProb {
  readonly token: string
  readonly logprob: number
  /** Its UTF-8; null for a token that is a part of a character. */
  readonly bytes: ReadonlyArray<number> | null
}

/** A token of the answer, where its text begins there, and the likeliest tokens at its place. */
export interface AnswerLogProb extends TokenLogProb {
  readonly offset: number
  readonly top: ReadonlyArray<TokenLogProb>
}

// What OpenAI gives for a token that is out of the question; JSON has no infinity.
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

/** Keeps the probabilities of tokens until their text is shown. They are those from which the token was chosen. */
export class LogProbs<Token> {
  readonly #textOf: (token: Token) => string
  readonly #count: number
  #kept: Array<AnswerLogProb> = []

  constructor(textOf: (token: Token) => string, count: number) {
    this.#textOf = textOf
    this.#count = count
  }

  /** Takes a token whose text begins at the offset. */
  push(token: Token, probabilities: ReadonlyMap<Token, number>, offset: number) {
    this.#kept.push({
      ...this.#of(token, probabilities.get(token) ?? 0),
      offset,
      top: likeliest(probabilities, this.#count).map(([other, probability]) => this.#of(other, probability))
    })
  }

  /** Gives those of the tokens whose text begins before the length that is shown, each once. */
  take(sanitized: number): ReadonlyArray<AnswerLogProb> {
    const given = this.#kept.filter(({ offset }) => offset < sanitized)
    this.#kept = this.#kept.slice(given.length)
    return given
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
