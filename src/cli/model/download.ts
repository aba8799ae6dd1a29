import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { ModelDownload } from "../../operation/modelOperations.ts"
import { hiveIdOrAuto } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

const id = Argument.String("id").pipe(
  Argument.withDescription(
    "Model id: hf:org/repo[:quant or file], ollama:name[:tag], an https URL, or file:/path"
  )
)

export const modelDownload = Command.make("download", { id, hiveId: hiveIdOrAuto }, ({ hiveId, id }) =>
  runArguments(ModelDownload, { hive_id: hiveId, model: id })
).pipe(
  Command.withDescription("Download a model to a hive; repeat to resume. The hive reads HF_TOKEN"),
  Command.withExamples([
    { command: "rbee model download hf:org/repo:Q4_K_M" },
    { command: "rbee model download ollama:llama3.2:1b --hive-id atlas" },
    { command: "rbee model download file:/models/mine.gguf" }
  ])
)
