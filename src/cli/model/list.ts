import * as Command from "effect/cli/Command"
import { ModelList } from "../../operation/modelOperations.ts"
import { hiveId } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

export const modelList = Command.make("list", { hiveId }, ({ hiveId }) =>
  runArguments(ModelList, { hive_id: hiveId })
).pipe(
  Command.withDescription("List the models on a hive"),
  Command.withExamples([{ command: "rbee model list --hive-id atlas" }])
)
