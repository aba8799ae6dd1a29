/** What the generation of a text came to. */
export type FinishReason = "cancelled" | "length" | "stop"

const halfCharacter = "\uFFFD"
// No character has more bytes: what is none by then never becomes one, and is not shown.
const maxCharacter = 4

/**
 * Makes text of tokens: holds back half a character until the rest of it came, and what may be the beginning of a
 * stop string until it is clear that it is none.
 */
export class TextAssembler<Token> {
  readonly #detokenize: (tokens: ReadonlyArray<Token>, before: ReadonlyArray<Token>) => string
  readonly #stops: ReadonlyArray<string>
  readonly #longestStop: number
  #pending: Array<Token> = []
  #before: ReadonlyArray<Token>
  #held = ""
  #shown = 0
  #stop: string | undefined

  constructor(
    detokenize: (tokens: ReadonlyArray<Token>, before: ReadonlyArray<Token>) => string,
    stops: ReadonlyArray<string>,
    before: ReadonlyArray<Token>
  ) {
    this.#detokenize = detokenize
    this.#stops = stops
    this.#longestStop = Math.max(0, ...stops.map((stop) => stop.length))
    this.#before = before
  }

  /** The stop string that came; nothing is given after it. */
  get stop() {
    return this.#stop
  }

  /** How long the text is that was given. */
  get shown() {
    return this.#shown
  }

  /** Where the text of the next token begins. */
  get length() {
    return this.#shown + this.#held.length
  }

  /** Takes a token; gives the text that can be shown now, which may be empty. */
  push(token: Token): string {
    this.#pending.push(token)
    const piece = this.#detokenize(this.#pending, this.#before)
    if (piece.endsWith(halfCharacter) && this.#pending.length < maxCharacter) return ""
    this.#before = [...this.#before, ...this.#pending].slice(-3)
    this.#pending = []
    return this.#release(piece.replaceAll(halfCharacter, ""))
  }

  /** Gives what is held back, when no token follows. Half a character is not given. */
  end(): string {
    const rest = this.#stop === undefined ? this.#held : ""
    this.#held = ""
    this.#shown += rest.length
    return rest
  }

  #release(piece: string) {
    this.#held += piece
    const hits = this.#stops
      .map((stop) => ({ stop, at: this.#held.indexOf(stop) }))
      .filter(({ at }) => at >= 0)
      .sort((left, right) => left.at - right.at)
    const [hit] = hits
    if (hit !== undefined) {
      const text = this.#held.slice(0, hit.at)
      this.#held = ""
      this.#shown += text.length
      this.#stop = hit.stop
      return text
    }
    const keep = this.#mayBeginStop()
    const text = this.#held.slice(0, this.#held.length - keep)
    this.#held = this.#held.slice(this.#held.length - keep)
    this.#shown += text.length
    return text
  }

  #mayBeginStop() {
    for (let length = Math.min(this.#longestStop - 1, this.#held.length); length > 0; length--) {
      const tail = this.#held.slice(-length)
      if (this.#stops.some((stop) => stop.startsWith(tail))) return length
    }
    return 0
  }
}
