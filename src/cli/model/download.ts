import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { ModelDownload } from "../../operation/modelOperations.ts"
import { hiveId } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const id = Argument.String("id").pipe(
  Argument.withDescription("hf:org/repo[:quant or file], ollama:name[:tag], an https address, or file:/path")
)

export const modelDownload = Command.make("download", { id, hiveId }, ({ hiveId, id }) =>
  runTyped(ModelDownload, { hive_id: hiveId, model: id })
).pipe(
  Command.withDescription(
    "Bring a model to a hive; asked again, it goes on where it stopped. HF_TOKEN is the hive's to know"
  ),
  Command.withExamples([
    { command: "rbee model download hf:org/repo:Q4_K_M" },
    { command: "rbee model download ollama:llama3.2:1b --hive-id atlas" },
    { command: "rbee model download file:/models/mine.gguf" }
  ])
)
