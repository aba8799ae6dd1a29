import * as Command from "effect/cli/Command"
import { ModelList } from "../../operation/modelOperations.ts"
import { hiveId } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

export const modelList = Command.make("list", { hiveId }, ({ hiveId }) =>
  runTyped(ModelList, { hive_id: hiveId })
).pipe(
  Command.withDescription("List the models of a hive"),
  Command.withExamples([{ command: "rbee model list --hive-id atlas" }])
)
