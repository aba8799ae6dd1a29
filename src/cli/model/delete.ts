import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { ModelDelete } from "../../operation/modelOperations.ts"
import { hiveId } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("Model id"))

export const modelDelete = Command.make("delete", { id, hiveId }, ({ hiveId, id }) =>
  runArguments(ModelDelete, { hive_id: hiveId, id })
).pipe(
  Command.withDescription("Delete a model, or its partial download, from a hive"),
  Command.withExamples([{ command: "rbee model delete hf:org/repo:Q4_K_M" }])
)
