import * as Predicate from "effect/Predicate"
import { promptTokensIn } from "../../http/engineErrors.ts"
import { minTokens } from "../../operation/promptSize.ts"
import type { GatewayRequest } from "./Upstream.ts"

const lengthOf = (content: unknown): number => {
  if (typeof content === "string") return content.length
  if (!Array.isArray(content)) return 0
  return content.reduce<number>(
    (sum, part: unknown) => sum + (Predicate.isReadonlyObject(part) ? lengthOf(part["text"]) : 0),
    0
  )
}

/** The length of the text in characters, without images. */
const textLength = ({ messages, prompt, tools }: GatewayRequest["body"]) => {
  if (typeof prompt === "string") return prompt.length
  const ofTools = Array.isArray(tools) ? JSON.stringify(tools).length : 0
  if (!Array.isArray(messages)) return 0
  return messages.reduce<number>(
    (sum, message: unknown) => sum + (Predicate.isReadonlyObject(message) ? lengthOf(message["content"]) : 0),
    ofTools
  )
}

type Request = Pick<GatewayRequest, "api" | "body" | "contextSize" | "isCount" | "model">

/** Whether the request determines the worker's context length: an alias may fix it, and embeddings and counts need no minimum. */
const isOpen = ({ api, isCount, model }: Request) =>
  api !== "embeddings" && isCount !== true && model.alias?.context_size === undefined

/**
 * Minimum context length of the worker in tokens: as requested, or as estimated from the prompt, limited to the maximum of
 * the model.
 */
export const contextNeed = (request: Request): number | undefined => {
  if (!isOpen(request)) return undefined
  const { body, contextSize = 0, model } = request
  const needed = Math.max(contextSize, minTokens(textLength(body)))
  return Math.min(needed, model.facts.context_length)
}

const minAnswer = 256

/**
 * Minimum context length in tokens after a worker with a context of `contextSize` refused the prompt with the message
 * `sentence`; undefined if the prompt exceeds the maximum of the model.
 */
export const longerNeed = (request: Request, contextSize: number, sentence: string): number | undefined => {
  const { context_length: maxContext } = request.model.facts
  if (!isOpen(request) || contextSize >= maxContext) return undefined
  const tokens = promptTokensIn(sentence) ?? contextSize
  if (tokens >= maxContext) return undefined
  return Math.min(maxContext, Math.max(tokens, contextSize) + minAnswer)
}
