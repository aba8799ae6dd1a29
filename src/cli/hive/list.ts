import * as Command from "effect/cli/Command"
import { HiveList } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"

export const hiveList = Command.make("list", {}, () => runArguments(HiveList, {})).pipe(
  Command.withDescription("List the hives of the fleet"),
  Command.withExamples([{ command: "rbee hive list" }, { command: "rbee hive list --json" }])
)
