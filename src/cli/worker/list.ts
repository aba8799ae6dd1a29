import * as Command from "effect/cli/Command"
import { WorkerList } from "../../operation/workerOperations.ts"
import { hiveId } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

export const workerList = Command.make("list", { hiveId }, ({ hiveId }) =>
  runArguments(WorkerList, { hive_id: hiveId })
).pipe(
  Command.withDescription("List the workers of a hive"),
  Command.withExamples([{ command: "rbee worker list --hive-id atlas" }])
)
