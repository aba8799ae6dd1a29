import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { ModelDelete } from "../../operation/modelOperations.ts"
import { hiveId } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("The model's id"))

export const modelDelete = Command.make("delete", { id, hiveId }, ({ hiveId, id }) =>
  runTyped(ModelDelete, { hive_id: hiveId, id })
).pipe(
  Command.withDescription("Remove a model from a hive, or what has come of one that is not whole"),
  Command.withExamples([{ command: "rbee model delete hf:org/repo:Q4_K_M" }])
)
