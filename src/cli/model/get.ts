import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import { ModelGet } from "../../operation/modelOperations.ts"
import { hiveId } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("Model id"))

const ctxSize = Flag.Int("ctx-size").pipe(
  Flag.withDescription("Context length of the memory estimate, in tokens (default: the hive's setting)"),
  Flag.optional
)

export const modelGet = Command.make("get", { id, ctxSize, hiveId }, ({ ctxSize, hiveId, id }) =>
  runArguments(ModelGet, { hive_id: hiveId, id, ctx_size: Option.getOrUndefined(ctxSize) })
).pipe(
  Command.withDescription("Show a model on a hive, with its metadata and memory estimate"),
  Command.withExamples([
    { command: "rbee model get rbee:tiny" },
    { command: "rbee model get rbee:tiny --ctx-size 512" }
  ])
)
