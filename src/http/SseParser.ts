import * as Sse from "effect/encoding/Sse"

/** One event of a Server-Sent Events stream. */
export interface SseEvent {
  readonly id: string | undefined
  readonly event: string
  readonly data: string
}

const space = 0x20

/**
 * Parses Server-Sent Events as the WHATWG standard defines them. Daemons and engines write no carriage returns; such text is
 * parsed line by line. From the first carriage return on, Effect's parser reads each character.
 */
export class SseParser {
  readonly #maxEventSize: number
  readonly #onEvent: (event: SseEvent) => void
  readonly #unfinished: Array<string> = []
  #unfinishedSize = 0
  #lastId: string | undefined
  #careful: Sse.Parser | undefined

  /** `maxEventSize` in UTF-16 units. */
  constructor(maxEventSize: number, onEvent: (event: SseEvent) => void) {
    this.#maxEventSize = maxEventSize
    this.#onEvent = onEvent
  }

  /** Parses the next piece of the stream; returns an error if an event is too large. */
  feed(text: string): Sse.SseError | undefined {
    if (this.#careful !== undefined) return this.#careful.feed(text)
    const carriageReturn = text.indexOf("\r")
    if (carriageReturn === -1) return this.#feedLines(text)
    // Effect's parser does not know the field `error`, so the complete events before the carriage return are parsed here.
    return this.#feedLines(text.slice(0, carriageReturn)) ?? this.#feedCarefully(text.slice(carriageReturn))
  }

  #feedLines(text: string) {
    const before = this.#unfinished.at(-1)
    const isEnding = text.includes("\n\n") || (before?.endsWith("\n") === true && text.startsWith("\n"))
    if (!isEnding) return this.#keep(text)
    const whole = before === undefined ? text : this.#takeUnfinished() + text
    let start = 0
    for (let end = whole.indexOf("\n\n"); end !== -1; end = whole.indexOf("\n\n", start)) {
      if (end - start > this.#maxEventSize) return this.#tooLarge()
      this.#read(whole, start, end)
      start = end + 2
    }
    return this.#keep(whole.slice(start))
  }

  #keep(text: string) {
    if (text === "") return undefined
    this.#unfinished.push(text)
    this.#unfinishedSize += text.length
    return this.#unfinishedSize > this.#maxEventSize ? this.#tooLarge() : undefined
  }

  #tooLarge() {
    return new Sse.SseError({ reason: new Sse.EventTooLarge({ maxEventSize: this.#maxEventSize }) })
  }

  #takeUnfinished() {
    const text = this.#unfinished.join("")
    this.#unfinished.length = 0
    this.#unfinishedSize = 0
    return text
  }

  #feedCarefully(text: string) {
    const onParse = (event: Sse.AnyEvent) => {
      if (event._tag === "Event") this.#onEvent(event)
    }
    this.#careful = Sse.makeParser(onParse, { maxEventSize: this.#maxEventSize })
    const known = this.#lastId === undefined ? "" : `id: ${this.#lastId}\n`
    return this.#careful.feed(known + this.#takeUnfinished() + text)
  }

  /** Parses the lines from `start` to the empty line at `end`. */
  #read(text: string, start: number, end: number) {
    let event = "message"
    let data: string | undefined
    for (let lineStart = start; lineStart < end;) {
      const lineEnd = text.indexOf("\n", lineStart)
      const colon = text.indexOf(":", lineStart)
      const hasValue = colon !== -1 && colon < lineEnd
      const valueStart = text.charCodeAt(colon + 1) === space ? colon + 2 : colon + 1
      const value = hasValue ? text.slice(valueStart, lineEnd) : ""
      switch (text.slice(lineStart, hasValue ? colon : lineEnd)) {
        case "data":
          data = data === undefined ? value : `${data}\n${value}`
          break
        case "event":
          event = value === "" ? "message" : value
          break
        case "error":
          // Older versions of llama-server write errors in a field `error`, which the standard does not have.
          event = "error"
          data = value
          break
        case "id":
          if (!value.includes("\0")) this.#lastId = value
          break
      }
      lineStart = lineEnd + 1
    }
    if (data !== undefined) this.#onEvent({ id: this.#lastId, event, data })
  }
}
