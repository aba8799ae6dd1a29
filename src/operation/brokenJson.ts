import * as Result from "effect/Result"

// The search for the position parses the text about 17 times.
const maxSearched = 100_000

const messageOf = (json: string) => {
  const parsed = Result.try((): unknown => JSON.parse(json))
  return Result.isSuccess(parsed) ? undefined : String(parsed.failure)
}

const positionIn = (message: string) => {
  const [, position] = /at position (\d+)/.exec(message) ?? []
  return position === undefined ? undefined : Number(position)
}

/** Whether a prefix of a broken text contains the error, and does not only end too early. */
const isBrokenBefore = (prefix: string) => {
  const message = messageOf(prefix)
  if (message === undefined || /Unexpected end|Unterminated/.test(message)) return false
  return (positionIn(message) ?? 0) < prefix.length
}

/** Finds the position of the error by bisection: only some of Node's messages contain it. */
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

/** Describes the error in a text that is not JSON, with its position if it can be found; undefined for valid JSON. */
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
