import * as Effect from "effect/Effect"
import { ContextLengthExceeded, invalidParameter, type BadRequest } from "./errors.ts"
import type { Sampling } from "./Generator.ts"

const emptyPrompt = invalidParameter("prompt", "the prompt is empty")

/**
 * Fails if the prompt does not fit the context with at least one token of the answer; with `isExact`, with all
 * `maxTokens`.
 */
export const checkFit = (
  promptTokens: number,
  { isExact, maxTokens }: Sampling,
  contextSize: number
): Effect.Effect<void, BadRequest | ContextLengthExceeded> => {
  if (promptTokens === 0) return Effect.fail(emptyPrompt)
  if (isExact && promptTokens + maxTokens > contextSize) {
    return Effect.fail(new ContextLengthExceeded({ promptTokens, maxTokens, contextSize }))
  }
  return promptTokens + Math.min(1, maxTokens) > contextSize
    ? Effect.fail(new ContextLengthExceeded({ promptTokens, contextSize }))
    : Effect.void
}
