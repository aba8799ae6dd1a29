import * as Command from "effect/cli/Command"
import { HiveStatus } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"
import { aliasOrLocalhost } from "./alias.ts"

export const hiveStatus = Command.make("status", { alias: aliasOrLocalhost }, ({ alias }) =>
  runArguments(HiveStatus, { alias })
).pipe(
  Command.withDescription("Check whether a hive is healthy"),
  Command.withExamples([{ command: "rbee hive status" }, { command: "rbee hive status atlas" }])
)
