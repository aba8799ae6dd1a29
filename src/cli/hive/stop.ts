import * as Command from "effect/cli/Command"
import { HiveStop } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"
import { aliasOrLocalhost } from "./alias.ts"

export const hiveStop = Command.make("stop", { alias: aliasOrLocalhost }, ({ alias }) =>
  runArguments(HiveStop, { alias })
).pipe(
  Command.withDescription("Stop a hive and its workers"),
  Command.withExamples([{ command: "rbee hive stop" }, { command: "rbee hive stop atlas" }])
)
