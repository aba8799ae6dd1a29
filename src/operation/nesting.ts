/** Maximum depth of nested lists and objects. Deeper values would overflow the stack of recursive code. */
export const maxDepth = 200

const quote = 34
const backslash = 92
const isOpening = (code: number) => code === 91 || code === 123
const isClosing = (code: number) => code === 93 || code === 125

/** The position of the closing quote of the JSON string that starts at `start`; the end of the text if there is none. */
const endOfString = (json: string, start: number) => {
  for (let end = json.indexOf('"', start + 1); end !== -1; end = json.indexOf('"', end + 1)) {
    let first = end
    while (json.charCodeAt(first - 1) === backslash) first--
    if ((end - first) % 2 === 0) return end
  }
  return json.length
}

/** Whether a JSON text is nested deeper than `maxDepth`; does not parse the text. */
export const isTooDeep = (json: string) => {
  let depth = 0
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code === quote) at = endOfString(json, at)
    else if (isOpening(code)) {
      if (++depth > maxDepth) return true
    } else if (isClosing(code)) depth--
  }
  return false
}

/** Whether a parsed value is nested deeper than `maxDepth`. */
export const isValueTooDeep = (value: unknown) => {
  let level: ReadonlyArray<unknown> = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) return true
    level = level.flatMap((item) => (typeof item === "object" && item !== null ? Object.values(item) : []))
  }
  return false
}
