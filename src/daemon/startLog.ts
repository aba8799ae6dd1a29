import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

/** What a daemon has logged since it was started: its error sentence, or else its last lines. */
export interface StartLog {
  readonly error: string | undefined
  readonly lastLines: ReadonlyArray<string>
}

const maxLines = 10

// The prefix of error sentences in the daemon's log.
const errorPrefix = "❌ Error: "
const belowWarning = /^\[[\d:.]+\] (?:INFO|DEBUG|TRACE) /
const continuation = /^(?: {2}|\})/

/** Removes log records below the level of a warning. A record may have several lines. */
const warningsOf = (lines: ReadonlyArray<string>) => {
  let isBelowWarning = false
  return lines.filter((line) => {
    isBelowWarning = belowWarning.test(line) || (isBelowWarning && continuation.test(line))
    return !isBelowWarning
  })
}

/** Finds the error sentence in the text of a log, otherwise its last lines without informational records. */
export const parseStartLog = (text: string): StartLog => {
  const lines = warningsOf(text.split("\n").filter((line) => line !== "")).slice(-maxLines)
  const errorLine = lines.findLast((line) => line.startsWith(errorPrefix))
  return {
    error: errorLine?.slice(errorPrefix.length),
    lastLines: errorLine === undefined ? lines : []
  }
}

/** Reads the part of a log file after its first `from` bytes. An unreadable file counts as empty. */
export const readStartLog = (file: string, from: number) =>
  FileSystem.FileSystem.use((fs) => fs.readFileString(file)).pipe(
    Effect.map((text) => Buffer.from(text).subarray(from).toString()),
    Effect.orElseSucceed(() => ""),
    Effect.map(parseStartLog)
  )
