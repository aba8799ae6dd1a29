import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { WorkerGet } from "../../operation/workerOperations.ts"
import { hiveId } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("Worker id"))

export const workerGet = Command.make("get", { id, hiveId }, ({ hiveId, id }) =>
  runArguments(WorkerGet, { hive_id: hiveId, id })
).pipe(
  Command.withDescription("Show a worker of a hive"),
  Command.withExamples([{ command: "rbee worker get tiny-1" }])
)
