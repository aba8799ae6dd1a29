import * as Command from "effect/cli/Command"
import { HiveUninstall } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"
import { alias } from "./alias.ts"

export const hiveUninstall = Command.make("uninstall", { alias }, ({ alias }) =>
  runArguments(HiveUninstall, { alias })
).pipe(
  Command.withDescription("Stop the hive on another machine and remove rbee there; models are kept"),
  Command.withExamples([{ command: "rbee hive uninstall atlas" }])
)
