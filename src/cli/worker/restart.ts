import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { WorkerRestart } from "../../operation/workerOperations.ts"
import { hiveId } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("Worker id"))

export const workerRestart = Command.make("restart", { id, hiveId }, ({ hiveId, id }) =>
  runArguments(WorkerRestart, { hive_id: hiveId, id })
).pipe(
  Command.withDescription("Restart a worker with the same model"),
  Command.withExamples([{ command: "rbee worker restart tiny-1" }])
)
