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

/** Characters of text: what stands for images is not counted. */
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

/** Whether the request decides the size of the worker: an alias may fix it, and embeddings and counts need none. */
const isOpen = ({ api, isCount, model }: Request) =>
  api !== "embeddings" && isCount !== true && model.alias?.context_size === undefined

/**
 * Tokens that a worker must have room for: as the client says, or as the length of the prompt shows; the longest that the
 * model was trained for at most.
 */
export const contextNeed = (request: Request): number | undefined => {
  if (!isOpen(request)) return undefined
  const { body, contextSize = 0, model } = request
  const needed = Math.max(contextSize, minTokens(textLength(body)))
  return Math.min(needed, model.facts.context_length)
}

const minAnswer = 256

/**
 * Tokens that a worker must have room for, after one with a context of `contextSize` refused the prompt with a sentence;
 * nothing when no worker of the model can.
 */
export const longerNeed = (request: Request, contextSize: number, sentence: string): number | undefined => {
  const { context_length: longest } = request.model.facts
  if (!isOpen(request) || contextSize >= longest) return undefined
  const tokens = promptTokensIn(sentence) ?? contextSize
  if (tokens >= longest) return undefined
  return Math.min(longest, Math.max(tokens, contextSize) + minAnswer)
}
