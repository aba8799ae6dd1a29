import * as Command from "effect/cli/Command"
import { HiveStart } from "../../operation/hiveOperations.ts"
import { runTyped } from "../operationCommand.ts"
import { aliasOrLocalhost } from "./alias.ts"

export const hiveStart = Command.make("start", { alias: aliasOrLocalhost }, ({ alias }) =>
  runTyped(HiveStart, { alias })
).pipe(
  Command.withDescription("Start a hive's daemon in the background"),
  Command.withExamples([{ command: "rbee hive start" }, { command: "rbee hive start atlas" }])
)
