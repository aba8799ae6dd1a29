import * as Command from "effect/cli/Command"
import { HiveInstall } from "../../operation/hiveOperations.ts"
import { runTyped } from "../operationCommand.ts"
import { alias } from "./alias.ts"

export const hiveInstall = Command.make("install", { alias }, ({ alias }) =>
  runTyped(HiveInstall, { alias })
).pipe(
  Command.withDescription("Bring this rbee to another machine by ssh, or bring the one there up to date"),
  Command.withExamples([{ command: "rbee hive install atlas" }])
)
