import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { Output } from "./Output.ts"
import { stopHives, stopQueen } from "./stopping.ts"

export const stop = Command.make(
  "stop",
  {},
  Effect.fnUntraced(function* () {
    const output = yield* Output
    const queen = yield* stopQueen
    const hives = yield* stopHives
    if (!queen && hives.length === 0) yield* output.note("Nothing was running")
    yield* output.answer({
      queen: "stopped",
      hives: hives.map((name) => ({ alias: name.slice("hive-".length), state: "stopped" }))
    })
  })
).pipe(
  Command.withDescription(
    "Stop the queen, the hives of this machine and their workers; returns when all have ended"
  ),
  Command.withExamples([{ command: "rbee stop" }])
)
