import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { LlamaContextSequence, Token } from "node-llama-cpp"
import { checkFit } from "./checkFit.ts"
import { Busy, generationFailed } from "./errors.ts"
import type { Generator, Piece, Sampling } from "./Generator.ts"
import type { Slots } from "./Slots.ts"

/** The parts of the engine that generate. */
export interface GenerationParts {
  readonly generator: Generator
  readonly slots: Slots<LlamaContextSequence>
  readonly contextSize: number
}

const seeds = 2 ** 32

/** The sampling of one of several answers: limited to the remaining context, each with a seed of its own. */
export const samplingOfChoice = (
  sampling: Sampling,
  promptTokens: number,
  choice: number,
  contextSize: number
): Sampling => ({
  ...sampling,
  maxTokens: Math.min(sampling.maxTokens, contextSize - promptTokens),
  seed: sampling.seed === undefined ? undefined : (sampling.seed + choice) % seeds
})

/**
 * Generates `sampling.choices` answers to each prompt; the answers are numbered prompt by prompt. Fails before any work if
 * a prompt does not fit or too many requests are waiting. The signal stops generation at the next token.
 */
export const generateAnswers = Effect.fnUntraced(function* (
  { contextSize, generator, slots }: GenerationParts,
  prompts: ReadonlyArray<ReadonlyArray<Token>>,
  sampling: Sampling,
  signal: AbortSignal
) {
  const { choices } = sampling
  for (const prompt of prompts) yield* checkFit(prompt.length, sampling, contextSize)
  const concurrency = Math.min(prompts.length * choices, Math.max(slots.size, choices))
  if (!slots.hasRoomFor(concurrency)) return yield* new Busy({ waiting: slots.waiting })
  const answerTo = (prompt: ReadonlyArray<Token>, index: number, choice: number) =>
    Stream.fromAsyncIterable<Piece, ReturnType<typeof generationFailed>>(
      generator.run(prompt, samplingOfChoice(sampling, prompt.length, choice, contextSize), index, signal),
      generationFailed
    )
  const answers = prompts.flatMap((prompt, number) =>
    Array.from({ length: choices }, (_, choice) => answerTo(prompt, number * choices + choice, choice))
  )
  const [only] = answers
  return answers.length === 1 && only !== undefined ? only : Stream.mergeAll(answers, { concurrency })
})
