import * as Command from "effect/cli/Command"
import { HiveGet } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"
import { aliasOrLocalhost } from "./alias.ts"

export const hiveGet = Command.make("get", { alias: aliasOrLocalhost }, ({ alias }) =>
  runArguments(HiveGet, { alias })
).pipe(
  Command.withDescription("Show a hive's record"),
  Command.withExamples([{ command: "rbee hive get" }, { command: "rbee hive get atlas" }])
)
