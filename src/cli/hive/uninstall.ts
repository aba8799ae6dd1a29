import * as Command from "effect/cli/Command"
import { HiveUninstall } from "../../operation/hiveOperations.ts"
import { runTyped } from "../operationCommand.ts"
import { alias } from "./alias.ts"

export const hiveUninstall = Command.make("uninstall", { alias }, ({ alias }) =>
  runTyped(HiveUninstall, { alias })
).pipe(
  Command.withDescription("Stop the hive of another machine and remove rbee there; models stay"),
  Command.withExamples([{ command: "rbee hive uninstall atlas" }])
)
