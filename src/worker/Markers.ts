/** A piece of a rendered template. */
export interface Segment {
  readonly text: string
  /** The text comes from a request and must not be read as control tokens. */
  readonly isLiteral: boolean
  /** The index of the message whose content replaces the text. */
  readonly message: number | undefined
}

const firstPrivate = 0xe000
const lastPrivate = 0xf8ff

// No control token consists of these characters only.
const isHarmless = (text: string) => /^[\w .,:;/-]*$/.test(text)

const unusedCharacters = (texts: ReadonlyArray<string>, count: number) => {
  const unused: Array<string> = []
  for (let code = firstPrivate; code <= lastPrivate && unused.length < count; code++) {
    const character = String.fromCharCode(code)
    if (!texts.some((text) => text.includes(character))) unused.push(character)
  }
  return unused
}

/**
 * Marks the texts of a request in the input of a template, so that they can be found in its output. The marks are
 * private-use characters that occur in none of the texts.
 */
export class Markers {
  readonly #frame: string
  readonly #open: string
  readonly #close: string

  constructor(texts: ReadonlyArray<string>) {
    const [frame, open, close] = unusedCharacters(texts, 3)
    if (frame === undefined || open === undefined || close === undefined) {
      throw new Error("the messages contain every private-use character")
    }
    this.#frame = frame
    this.#open = open
    this.#close = close
  }

  /** The placeholder for the content of a message. */
  place(message: number) {
    return `${this.#frame}${message}${this.#frame}`
  }

  /** Marks a text unless it cannot contain a control token. */
  literal(text: string) {
    return isHarmless(text) ? text : `${this.#open}${text}${this.#close}`
  }

  /** Marks every text in a value, which a template may write as JSON or as plain text. */
  literals(value: unknown): unknown {
    if (typeof value === "string") return this.literal(value)
    if (Array.isArray(value)) return value.map((each) => this.literals(each))
    if (typeof value !== "object" || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [this.literal(key), this.literals(each)])
    )
  }

  /** Splits the output of a template into segments. */
  split(rendered: string): ReadonlyArray<Segment> {
    const pattern = new RegExp(
      `${this.#frame}(\\d+)${this.#frame}|${this.#open}([^${this.#close}]*)${this.#close}?`,
      "g"
    )
    const segments: Array<Segment> = []
    const add = (text: string, isLiteral: boolean, message?: number) => {
      if (text !== "" || message !== undefined) segments.push({ text, isLiteral, message })
    }
    let end = 0
    for (const { 0: match, 1: message, 2: literal = "", index } of rendered.matchAll(pattern)) {
      add(rendered.slice(end, index).replaceAll(this.#close, ""), false)
      add(literal, true, message === undefined ? undefined : Number(message))
      end = index + match.length
    }
    add(rendered.slice(end).replaceAll(this.#close, ""), false)
    return segments
  }
}
