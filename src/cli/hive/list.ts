import * as Command from "effect/cli/Command"
import { HiveList } from "../../operation/hiveOperations.ts"
import { runTyped } from "../operationCommand.ts"

export const hiveList = Command.make("list", {}, () => runTyped(HiveList, {})).pipe(
  Command.withDescription("List the hives that the queen knows"),
  Command.withExamples([{ command: "rbee hive list" }, { command: "rbee hive list --json" }])
)
