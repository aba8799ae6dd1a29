import * as Effect from "effect/Effect"

/** Lets a daemon go on when its output is closed, as by a terminal or a pipe that went away: what it writes is lost then. */
export const surviveClosedOutput = Effect.sync(() => {
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners("error")
    stream.on("error", () => {})
  }
})
