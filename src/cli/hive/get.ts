import * as Command from "effect/cli/Command"
import { HiveGet } from "../../operation/hiveOperations.ts"
import { runTyped } from "../operationCommand.ts"
import { aliasOrLocalhost } from "./alias.ts"

export const hiveGet = Command.make("get", { alias: aliasOrLocalhost }, ({ alias }) =>
  runTyped(HiveGet, { alias })
).pipe(
  Command.withDescription("Show what the queen knows of a hive"),
  Command.withExamples([{ command: "rbee hive get" }, { command: "rbee hive get atlas" }])
)
