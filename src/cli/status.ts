import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { Status } from "../operation/Operation.ts"
import { Connection } from "./Connection.ts"
import { Output } from "./Output.ts"
import { runTyped } from "./operationCommand.ts"

export const status = Command.make(
  "status",
  {},
  Effect.fnUntraced(function* () {
    const connection = yield* Connection
    const output = yield* Output
    const queen = yield* connection.queen
    if (yield* connection.isWell(queen)) return yield* runTyped(Status, {})
    yield* output.note(`The queen does not run at ${queen.url}; 'rbee queen start' starts it`)
    yield* output.answer({ queen: "stopped", url: queen.url })
  })
).pipe(
  Command.withDescription("Show hives, workers and jobs at a glance; starts nothing"),
  Command.withExamples([{ command: "rbee status" }, { command: "rbee status --json" }])
)
