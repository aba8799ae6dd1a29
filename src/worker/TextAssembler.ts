/** Why the generation of an answer ended. */
export type FinishReason = "cancelled" | "length" | "stop"

const replacementCharacter = "\uFFFD"
// UTF-8 characters have at most four bytes; a longer incomplete sequence is invalid and is dropped.
const maxCharacterBytes = 4

/**
 * Converts tokens to text. It withholds an incomplete character until the rest arrives, and text that may begin a stop
 * string until this is decided.
 */
export class TextAssembler<Token> {
  readonly #detokenize: (tokens: ReadonlyArray<Token>, before: ReadonlyArray<Token>) => string
  readonly #stops: ReadonlyArray<string>
  readonly #maxStopLength: number
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
    this.#maxStopLength = Math.max(0, ...stops.map((stop) => stop.length))
    this.#before = before
  }

  /** The stop string that ended the text; no text is emitted after it. */
  get stop() {
    return this.#stop
  }

  /** The length of the emitted text. */
  get shown() {
    return this.#shown
  }

  /** The offset of the next token's text. */
  get length() {
    return this.#shown + this.#held.length
  }

  /** Adds a token; returns the text that can be emitted now, which may be empty. */
  push(token: Token): string {
    this.#pending.push(token)
    const piece = this.#detokenize(this.#pending, this.#before)
    if (piece.endsWith(replacementCharacter) && this.#pending.length < maxCharacterBytes) return ""
    this.#before = [...this.#before, ...this.#pending].slice(-3)
    this.#pending = []
    return this.#release(piece.replaceAll(replacementCharacter, ""))
  }

  /** Returns the withheld text after the last token, without an incomplete character. */
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
    for (let length = Math.min(this.#maxStopLength - 1, this.#held.length); length > 0; length--) {
      const tail = this.#held.slice(-length)
      if (this.#stops.some((stop) => stop.startsWith(tail))) return length
    }
    return 0
  }
}
