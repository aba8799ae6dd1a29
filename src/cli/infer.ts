import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Infer } from "../operation/inferenceOperations.ts"
import { hiveIdOrAuto, model } from "./flags.ts"
import { runArguments } from "./operationCommand.ts"
import { readInput } from "./stdin.ts"

const maxTokens = Flag.Int("max-tokens").pipe(
  Flag.withDescription("Maximum number of tokens (default: 256)"),
  Flag.withDefault(256)
)
const temperature = Flag.Finite("temperature").pipe(
  Flag.withDescription("Sampling temperature; 0 is greedy (default: 0.7)"),
  Flag.withDefault(0.7)
)
const topP = Flag.Finite("top-p").pipe(
  Flag.withDescription("Nucleus sampling: cumulative probability, 0 to 1 (default: the engine's)"),
  Flag.optional
)
const topK = Flag.Int("top-k").pipe(
  Flag.withDescription("Sample from the k most likely tokens (default: the engine's)"),
  Flag.optional
)
const device = Flag.String("device").pipe(
  Flag.withDescription("Device index, or a name such as cpu, cuda or gpu-1 (default: any)"),
  Flag.optional
)

const deviceOf = (typed: string) => (/^\d+$/.test(typed) ? Number(typed) : typed)
const workerId = Flag.String("worker-id").pipe(Flag.withDescription("Use only this worker"), Flag.optional)
const noStream = Flag.Boolean("no-stream").pipe(
  Flag.withDescription("Print the complete text at the end"),
  Flag.withDefault(false)
)
const prompt = Argument.String("prompt").pipe(Argument.withDescription("Text to continue; - reads stdin"))

export const infer = Command.make(
  "infer",
  { prompt, model, hiveId: hiveIdOrAuto, maxTokens, temperature, topP, topK, device, workerId, noStream },
  Effect.fnUntraced(function* (typed) {
    const text = typed.prompt === "-" ? yield* readInput : typed.prompt
    yield* runArguments(
      Infer,
      {
        hive_id: typed.hiveId,
        model: typed.model,
        prompt: text,
        max_tokens: typed.maxTokens,
        temperature: typed.temperature,
        top_p: Option.getOrUndefined(typed.topP),
        top_k: Option.getOrUndefined(typed.topK),
        device: Option.getOrUndefined(Option.map(typed.device, deviceOf)),
        worker_id: Option.getOrUndefined(typed.workerId),
        stream: !typed.noStream
      },
      "events"
    )
  })
).pipe(
  Command.withDescription("Complete a prompt, streaming tokens; starts the daemons if needed"),
  Command.withExamples([
    { command: `rbee infer --model rbee:tiny "It was a truth universally acknowledged that"` },
    { command: "rbee infer --model rbee:tiny --hive-id auto --max-tokens 40 - < prompt.txt" }
  ])
)
