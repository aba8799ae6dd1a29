import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { WorkerDelete } from "../../operation/workerOperations.ts"
import { hiveId } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("The worker's id"))

export const workerDelete = Command.make("delete", { id, hiveId }, ({ hiveId, id }) =>
  runTyped(WorkerDelete, { hive_id: hiveId, id })
).pipe(
  Command.withDescription("Stop a worker"),
  Command.withExamples([{ command: "rbee worker delete tiny-1" }])
)
