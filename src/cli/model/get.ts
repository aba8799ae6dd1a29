import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import { ModelGet } from "../../operation/modelOperations.ts"
import { hiveId } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const id = Argument.String("id").pipe(Argument.withDescription("The model's id"))

const ctxSize = Flag.Int("ctx-size").pipe(
  Flag.withDescription("Estimate the memory for this context length, in tokens"),
  Flag.optional
)

export const modelGet = Command.make("get", { id, ctxSize, hiveId }, ({ ctxSize, hiveId, id }) =>
  runTyped(ModelGet, { hive_id: hiveId, id, ctx_size: Option.getOrUndefined(ctxSize) })
).pipe(
  Command.withDescription("Show one model of a hive"),
  Command.withExamples([
    { command: "rbee model get rbee:tiny" },
    { command: "rbee model get rbee:tiny --ctx-size 512" }
  ])
)
