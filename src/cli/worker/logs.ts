import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { WorkerLogs } from "../../operation/workerOperations.ts"
import { hiveId } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("Worker id"))
const follow = Flag.Boolean("follow").pipe(
  Flag.withAlias("f"),
  Flag.withDescription("Follow new lines until the worker exits"),
  Flag.withDefault(false)
)
const lines = Flag.Int("lines").pipe(
  Flag.withAlias("n"),
  Flag.withDescription("Number of lines (default: 200)"),
  Flag.withDefault(200)
)

export const workerLogs = Command.make(
  "logs",
  { id, follow, lines, hiveId },
  ({ follow, hiveId, id, lines }) => runArguments(WorkerLogs, { hive_id: hiveId, id, follow, lines })
).pipe(
  Command.withDescription("Show the last lines of a worker's log"),
  Command.withExamples([
    { command: "rbee worker logs tiny-1" },
    { command: "rbee worker logs tiny-1 -f --lines 20" }
  ])
)
