import * as Command from "effect/cli/Command"
import { HiveStart } from "../../operation/hiveOperations.ts"
import { runArguments } from "../operationCommand.ts"
import { aliasOrLocalhost } from "./alias.ts"

export const hiveStart = Command.make("start", { alias: aliasOrLocalhost }, ({ alias }) =>
  runArguments(HiveStart, { alias })
).pipe(
  Command.withDescription("Start a hive in the background; no-op if already running"),
  Command.withExamples([{ command: "rbee hive start" }, { command: "rbee hive start atlas" }])
)
