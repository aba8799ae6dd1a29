import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { Connection } from "../Connection.ts"
import { Output } from "../Output.ts"

export const queenStart = Command.make(
  "start",
  {},
  Effect.fnUntraced(function* () {
    const { url } = yield* (yield* Connection).start
    yield* (yield* Output).answer({ queen: "running", url })
  })
).pipe(
  Command.withDescription("Start the queen in the background; no-op if already running"),
  Command.withExamples([{ command: "rbee queen start" }])
)
