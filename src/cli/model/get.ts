import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { ModelGet } from "../../operation/Operation.ts"
import { hiveId } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("The model's id"))

export const modelGet = Command.make("get", { id, hiveId }, ({ hiveId, id }) =>
  runTyped(ModelGet, { hive_id: hiveId, id })
).pipe(
  Command.withDescription("Show one model of a hive"),
  Command.withExamples([{ command: "rbee model get rbee:tiny" }])
)
