import * as Effect from "effect/Effect"

/** Keeps a daemon running when its terminal or pipe closes; later output is lost. */
export const surviveClosedOutput = Effect.sync(() => {
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners("error")
    stream.on("error", () => {})
  }
})
