import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { Output } from "../Output.ts"
import { stopQueen } from "../stopDaemons.ts"

export const queenStop = Command.make(
  "stop",
  {},
  Effect.fnUntraced(function* () {
    const output = yield* Output
    const stopped = yield* stopQueen
    if (!stopped) yield* output.note("The queen is not running")
    yield* output.answer({ queen: "stopped" })
  })
).pipe(
  Command.withDescription("Stop the queen; hives keep running"),
  Command.withExamples([{ command: "rbee queen stop" }])
)
