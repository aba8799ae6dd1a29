import * as Command from "effect/cli/Command"
import { HiveRefreshCapabilities } from "../../operation/hiveOperations.ts"
import { runTyped } from "../operationCommand.ts"
import { alias } from "./alias.ts"

export const hiveRefresh = Command.make("refresh-capabilities", { alias }, ({ alias }) =>
  runTyped(HiveRefreshCapabilities, { alias })
).pipe(
  Command.withDescription("Ask a hive for its devices and keep the answer"),
  Command.withExamples([{ command: "rbee hive refresh-capabilities atlas" }])
)
