import * as Result from "effect/Result"

// Finding the position parses the text again, about 17 times.
const maxSearched = 100_000

const messageOf = (json: string) => {
  const parsed = Result.try((): unknown => JSON.parse(json))
  return Result.isSuccess(parsed) ? undefined : String(parsed.failure)
}

const positionIn = (message: string) => {
  const [, position] = /at position (\d+)/.exec(message) ?? []
  return position === undefined ? undefined : Number(position)
}

/** Whether a prefix of a broken text already has what is wrong, and not only its end too early. */
const isBrokenBefore = (prefix: string) => {
  const message = messageOf(prefix)
  if (message === undefined || /Unexpected end|Unterminated/.test(message)) return false
  return (positionIn(message) ?? 0) < prefix.length
}

/** Node.js names the position in some of its messages only. */
const searchedPosition = (json: string) => {
  if (json.length > maxSearched || !isBrokenBefore(json)) return undefined
  let intact = 0
  let broken = json.length
  while (broken - intact > 1) {
    const middle = (intact + broken) >> 1
    if (isBrokenBefore(json.slice(0, middle))) broken = middle
    else intact = middle
  }
  return intact
}

/** What is wrong with a text that is not JSON, with the position where that can be found; undefined for JSON. */
export const brokenJson = (json: string): string | undefined => {
  if (json.trim() === "") return "it is empty"
  const message = messageOf(json)
  if (message === undefined) return undefined
  const position = positionIn(message) ?? searchedPosition(json)
  if (/Unexpected end|Unterminated/.test(message) || position === json.length) {
    return `it ends too early, after ${json.length} characters`
  }
  if (position === undefined) return "it cannot be parsed"
  const before = json.slice(0, position).split("\n")
  const line = before.length
  const column = (before.at(-1)?.length ?? 0) + 1
  const found = String.fromCodePoint(json.codePointAt(position) ?? 0)
  return `unexpected ${JSON.stringify(found)} at position ${position} (line ${line}, column ${column})`
}
