/** A piece of a rendered template. */
export interface Segment {
  readonly text: string
  /** It comes from a request, and no part of it is a control token. */
  readonly isLiteral: boolean
  /** The index of the message whose content stands here, instead of the text. */
  readonly message: number | undefined
}

const firstPrivate = 0xe000
const lastPrivate = 0xf8ff

// No control token consists of these alone.
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
 * Marks what comes from a request in the input of a template, so that it is found again in the output. The marks are
 * characters of private use that none of the texts holds.
 */
export class Markers {
  readonly #frame: string
  readonly #open: string
  readonly #close: string

  constructor(texts: ReadonlyArray<string>) {
    const [frame, open, close] = unusedCharacters(texts, 3)
    if (frame === undefined || open === undefined || close === undefined) {
      throw new Error("the messages hold every character of private use that there is")
    }
    this.#frame = frame
    this.#open = open
    this.#close = close
  }

  /** Stands for the content of a message. */
  place(message: number) {
    return `${this.#frame}${message}${this.#frame}`
  }

  /** The text, marked unless it can be no control token. */
  literal(text: string) {
    return isHarmless(text) ? text : `${this.#open}${text}${this.#close}`
  }

  /** The value, with every text in it marked; a template may write it as JSON or bare. */
  literals(value: unknown): unknown {
    if (typeof value === "string") return this.literal(value)
    if (Array.isArray(value)) return value.map((each) => this.literals(each))
    if (typeof value !== "object" || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [this.literal(key), this.literals(each)])
    )
  }

  /** The pieces of what the template made. */
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
