const maxLine = 8192

/** Splits bytes into lines as they arrive; a line of over 8,192 characters is cut into pieces. */
export class LogLines {
  readonly #decoder = new TextDecoder()
  #rest = ""

  /** The lines that are complete now. */
  add(bytes: Uint8Array): ReadonlyArray<string> {
    const pieces = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r?\n/)
    this.#rest = pieces.pop() ?? ""
    while (this.#rest.length > maxLine) {
      pieces.push(this.#rest.slice(0, maxLine))
      this.#rest = this.#rest.slice(maxLine)
    }
    return pieces.map((line) => line.slice(0, maxLine))
  }

  /** The last line, when the file does not end with a newline. */
  end(): ReadonlyArray<string> {
    const rest = this.#rest
    this.#rest = ""
    return rest === "" ? [] : [rest]
  }
}
