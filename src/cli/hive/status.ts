import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { HiveStatus } from "../../operation/Operation.ts"
import { runTyped } from "../operationCommand.ts"

const alias = Argument.String("alias").pipe(
  Argument.withDescription("The hive's name"),
  Argument.withDefault("localhost")
)

export const hiveStatus = Command.make("status", { alias }, ({ alias }) =>
  runTyped(HiveStatus, { alias })
).pipe(
  Command.withDescription("Ask a hive whether it is well"),
  Command.withExamples([{ command: "rbee hive status" }, { command: "rbee hive status atlas" }])
)
