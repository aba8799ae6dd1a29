import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import { render } from "../job/view/Table.ts"

/** Prints. Results go to stdout, everything else to stderr. */
export class Output extends Context.Service<
  Output,
  {
    readonly json: boolean
    /** Prints a piece of the result unchanged. */
    readonly text: (text: string) => Effect.Effect<void>
    /** Prints a line of the result. */
    readonly line: (line: string) => Effect.Effect<void>
    /** Prints the result: a table, or with `--json` one JSON document. */
    readonly answer: (answer: Schema.Json) => Effect.Effect<void>
    /** Prints a message. */
    readonly note: (line: string) => Effect.Effect<void>
    /** Prints a progress line; on a terminal it replaces the previous one. */
    readonly progress: (line: string) => Effect.Effect<void>
    /** Clears the terminal; does nothing if stdout is not a terminal or `--json` is set. */
    readonly clear: Effect.Effect<void>
    readonly error: (sentence: string) => Effect.Effect<void>
  }
>()("rbee/cli/Output") {
  static readonly layer = (json: boolean) => Layer.sync(Output, () => make(json))
}

const clearScreen = "\u001b[H\u001b[2J"
const clearLine = "\r\u001b[K"

const make = (json: boolean) => {
  let transient = false
  const write = (stream: NodeJS.WriteStream, text: string) =>
    Effect.callback<void>((resume) => {
      if (stream.destroyed || !stream.writable) return resume(Effect.void)
      stream.write(text, () => resume(Effect.void))
    })
  const toError = (text: string) => {
    const before = transient ? clearLine : ""
    transient = false
    return write(process.stderr, before + text)
  }
  const answer = (text: string) =>
    Effect.suspend(() => {
      if (!transient) return write(process.stdout, text)
      return Effect.andThen(toError(""), write(process.stdout, text))
    })
  return Output.of({
    json,
    text: answer,
    line: (line) => answer(`${line}\n`),
    answer: (data) => answer(`${json ? JSON.stringify(data) : render(data)}\n`),
    note: (line) => Effect.suspend(() => toError(`${line}\n`)),
    progress: (line) =>
      Effect.suspend(() => {
        if (!process.stderr.isTTY) return toError(`${line}\n`)
        transient = true
        return write(process.stderr, `${clearLine}${line.slice(0, process.stderr.columns - 1)}`)
      }),
    clear: Effect.suspend(() =>
      process.stdout.isTTY && !json ? write(process.stdout, clearScreen) : Effect.void
    ),
    error: (sentence) => Effect.suspend(() => toError(`❌ Error: ${sentence}\n`))
  })
}
