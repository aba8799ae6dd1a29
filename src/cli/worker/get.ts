import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { WorkerGet } from "../../operation/workerOperations.ts"
import { hiveId } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("The worker's id"))

export const workerGet = Command.make("get", { id, hiveId }, ({ hiveId, id }) =>
  runTyped(WorkerGet, { hive_id: hiveId, id })
).pipe(
  Command.withDescription("Show one worker of a hive"),
  Command.withExamples([{ command: "rbee worker get tiny-1" }])
)
