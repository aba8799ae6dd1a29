import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { Connection } from "../Connection.ts"
import { Output } from "../Output.ts"

export const queenStatus = Command.make(
  "status",
  {},
  Effect.fnUntraced(function* () {
    const connection = yield* Connection
    const queen = yield* connection.queen
    const state = (yield* connection.isHealthy(queen)) ? "running" : "stopped"
    yield* (yield* Output).answer({ queen: state, url: queen.url })
  })
).pipe(
  Command.withDescription("Show whether the queen is running, and its URL"),
  Command.withExamples([{ command: "rbee queen status" }])
)
