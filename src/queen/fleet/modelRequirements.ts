import type { GatewayRequest, ServedModel } from "../../gateway/upstream/Upstream.ts"
import { estimateTokens } from "../../operation/promptSize.ts"
import { prefixesOf } from "../scheduler/Prefixes.ts"

/** The tokens reserved for an answer whose request sets no limit. */
const usualAnswerTokens = 512

const answerTokens = (
  { max_completion_tokens, max_tokens }: GatewayRequest["body"],
  contextLength: number
) => {
  const limit = max_completion_tokens ?? max_tokens
  return typeof limit === "number" && limit >= 0 ? Math.min(limit, contextLength) : usualAnswerTokens
}

/** The scheduler's requirements of a request for a model: those of its alias, and the estimated size of prompt and answer. */
export const modelRequirements = (
  { alias, facts, id }: ServedModel,
  prompt: string,
  body: GatewayRequest["body"]
) => ({
  model: id,
  tokens: estimateTokens(prompt.length) + answerTokens(body, facts.context_length),
  prefixes: prefixesOf(prompt),
  contextSize: alias?.context_size,
  hive: alias?.hive,
  device: alias?.device,
  parallel: alias?.parallel,
  engine: alias?.engine
})
