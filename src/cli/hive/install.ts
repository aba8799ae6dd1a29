import * as Command from "effect/cli/Command"
import { HiveInstall } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"
import { alias } from "./alias.ts"

export const hiveInstall = Command.make("install", { alias }, ({ alias }) =>
  runArguments(HiveInstall, { alias })
).pipe(
  Command.withDescription("Install or upgrade rbee on another machine over ssh"),
  Command.withExamples([{ command: "rbee hive install atlas" }])
)
