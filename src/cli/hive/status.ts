import * as Command from "effect/cli/Command"
import { HiveStatus } from "../../operation/hiveOperations.ts"
import { runTyped } from "../operationCommand.ts"
import { aliasOrLocalhost } from "./alias.ts"

export const hiveStatus = Command.make("status", { alias: aliasOrLocalhost }, ({ alias }) =>
  runTyped(HiveStatus, { alias })
).pipe(
  Command.withDescription("Ask a hive whether it is well"),
  Command.withExamples([{ command: "rbee hive status" }, { command: "rbee hive status atlas" }])
)
