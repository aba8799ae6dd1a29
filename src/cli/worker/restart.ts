import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { WorkerRestart } from "../../operation/workerOperations.ts"
import { hiveId } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("The worker's id"))

export const workerRestart = Command.make("restart", { id, hiveId }, ({ hiveId, id }) =>
  runTyped(WorkerRestart, { hive_id: hiveId, id })
).pipe(
  Command.withDescription("Stop a worker and start it again"),
  Command.withExamples([{ command: "rbee worker restart tiny-1" }])
)
