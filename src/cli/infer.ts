import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Infer } from "../operation/inferenceOperations.ts"
import { hiveId, model } from "./flags.ts"
import { runTyped } from "./operationCommand.ts"
import { readInput } from "./stdin.ts"

const maxTokens = Flag.Int("max-tokens").pipe(Flag.withDescription("Tokens at most"), Flag.withDefault(256))
const temperature = Flag.Finite("temperature").pipe(
  Flag.withDescription("How freely tokens are chosen; 0 takes the likeliest"),
  Flag.withDefault(0.7)
)
const topP = Flag.Finite("top-p").pipe(
  Flag.withDescription("Only tokens within this probability"),
  Flag.optional
)
const topK = Flag.Int("top-k").pipe(
  Flag.withDescription("Only so many of the likeliest tokens"),
  Flag.optional
)
const device = Flag.String("device").pipe(
  Flag.withDescription("Device: an index, or a name such as cpu, cuda or gpu-1"),
  Flag.optional
)

const deviceOf = (typed: string) => (/^\d+$/.test(typed) ? Number(typed) : typed)
const workerId = Flag.String("worker-id").pipe(
  Flag.withDescription("This worker and no other"),
  Flag.optional
)
const noStream = Flag.Boolean("no-stream").pipe(
  Flag.withDescription("Print the text when it is whole"),
  Flag.withDefault(false)
)
const prompt = Argument.String("prompt").pipe(
  Argument.withDescription("The text to continue; - reads standard input")
)

export const infer = Command.make(
  "infer",
  { prompt, model, hiveId, maxTokens, temperature, topP, topK, device, workerId, noStream },
  Effect.fnUntraced(function* (typed) {
    const text = typed.prompt === "-" ? yield* readInput : typed.prompt
    yield* runTyped(
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
  Command.withDescription("Continue a prompt, token by token; starts what does not run"),
  Command.withExamples([
    { command: `rbee infer --model rbee:tiny "It was a truth universally acknowledged that"` },
    { command: "rbee infer --model rbee:tiny --hive-id auto --max-tokens 40 - < prompt.txt" }
  ])
)
