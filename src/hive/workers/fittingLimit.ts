import { promptTokensIn } from "../../http/engineErrors.ts"

const limitFields = ["max_tokens", "max_completion_tokens"]

/**
 * The request's body with its token limit cut to what the prompt leaves of the worker's context, after an engine refused
 * prompt and limit together. Absent when the prompt alone exceeds the context, or the limit must not be changed.
 */
export const withFittingLimit = (
  body: Readonly<Record<string, unknown>>,
  contextSize: number,
  sentence: string
): Readonly<Record<string, unknown>> | undefined => {
  const prompt = promptTokensIn(sentence)
  if (prompt === undefined || prompt >= contextSize || body["exact_max_tokens"] === true) return undefined
  const left = contextSize - prompt
  const exceeding = limitFields.filter((field) => {
    const limit = body[field]
    return typeof limit === "number" && limit > left
  })
  return exceeding.length === 0
    ? undefined
    : { ...body, ...Object.fromEntries(exceeding.map((field) => [field, left])) }
}
