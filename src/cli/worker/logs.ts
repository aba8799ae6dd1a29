import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { WorkerLogs } from "../../operation/workerOperations.ts"
import { hiveId } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("The worker's id"))
const follow = Flag.Boolean("follow").pipe(
  Flag.withAlias("f"),
  Flag.withDescription("Go on with the lines to come, until the worker is gone"),
  Flag.withDefault(false)
)
const lines = Flag.Int("lines").pipe(
  Flag.withAlias("n"),
  Flag.withDescription("How many of the last lines"),
  Flag.withDefault(200)
)

export const workerLogs = Command.make(
  "logs",
  { id, follow, lines, hiveId },
  ({ follow, hiveId, id, lines }) => runTyped(WorkerLogs, { hive_id: hiveId, id, follow, lines })
).pipe(
  Command.withDescription("Show the last lines of a worker's log"),
  Command.withExamples([
    { command: "rbee worker logs tiny-1" },
    { command: "rbee worker logs tiny-1 -f --lines 20" }
  ])
)
