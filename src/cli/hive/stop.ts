import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { HiveStop } from "../../operation/Operation.ts"
import { runTyped } from "../operationCommand.ts"

const alias = Argument.String("alias").pipe(
  Argument.withDescription("The hive's name"),
  Argument.withDefault("localhost")
)

export const hiveStop = Command.make("stop", { alias }, ({ alias }) => runTyped(HiveStop, { alias })).pipe(
  Command.withDescription("Stop a hive's daemon and its workers"),
  Command.withExamples([{ command: "rbee hive stop" }, { command: "rbee hive stop atlas" }])
)
