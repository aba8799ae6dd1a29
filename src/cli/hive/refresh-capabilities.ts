import * as Command from "effect/cli/Command"
import { HiveRefreshCapabilities } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"
import { alias } from "./alias.ts"

export const hiveRefresh = Command.make("refresh-capabilities", { alias }, ({ alias }) =>
  runArguments(HiveRefreshCapabilities, { alias })
).pipe(
  Command.withDescription("Refresh the cached device list of a hive"),
  Command.withExamples([{ command: "rbee hive refresh-capabilities atlas" }])
)
