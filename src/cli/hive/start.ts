import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { HiveStart } from "../../operation/Operation.ts"
import { runTyped } from "../operationCommand.ts"

const alias = Argument.String("alias").pipe(
  Argument.withDescription("The hive's name"),
  Argument.withDefault("localhost")
)

export const hiveStart = Command.make("start", { alias }, ({ alias }) => runTyped(HiveStart, { alias })).pipe(
  Command.withDescription("Start a hive's daemon in the background"),
  Command.withExamples([{ command: "rbee hive start" }, { command: "rbee hive start atlas" }])
)
