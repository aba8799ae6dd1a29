import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { WorkerDelete } from "../../operation/workerOperations.ts"
import { hiveId } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("Worker id"))

export const workerDelete = Command.make("delete", { id, hiveId }, ({ hiveId, id }) =>
  runArguments(WorkerDelete, { hive_id: hiveId, id })
).pipe(
  Command.withDescription("Stop and delete a worker"),
  Command.withExamples([{ command: "rbee worker delete tiny-1" }])
)
