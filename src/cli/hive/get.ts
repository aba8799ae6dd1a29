import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { HiveGet } from "../../operation/Operation.ts"
import { runTyped } from "../operationCommand.ts"

const alias = Argument.String("alias").pipe(
  Argument.withDescription("The hive's name"),
  Argument.withDefault("localhost")
)

export const hiveGet = Command.make("get", { alias }, ({ alias }) => runTyped(HiveGet, { alias })).pipe(
  Command.withDescription("Show what the queen knows of a hive"),
  Command.withExamples([{ command: "rbee hive get" }, { command: "rbee hive get atlas" }])
)
