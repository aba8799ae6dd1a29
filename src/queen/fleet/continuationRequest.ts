import * as Predicate from "effect/Predicate"
import type { GatewayRequest } from "../../gateway/upstream/Upstream.ts"
import { isBlank } from "./answerChunk.ts"

/** Fields of a request whose answer another worker cannot continue. */
const excludingFields = ["tools", "functions", "logprobs", "echo", "best_of", "suffix"]

/** Whether a request has one answer, and not several alternatives. */
export const hasOneAnswer = ({ body: { n } }: Pick<GatewayRequest, "body">) =>
  n === undefined || n === null || n === 1

/** Whether another worker can continue the answer of a request: one answer of plain text to a prompt or to messages. */
export const allowsContinuation = (request: Pick<GatewayRequest, "api" | "body">) => {
  const { api, body } = request
  const { messages, prompt, response_format: format } = body
  const isText = isBlank(format) || (Predicate.isReadonlyObject(format) && format["type"] === "text")
  const hasPrompt = api === "chat/completions" ? Array.isArray(messages) : typeof prompt === "string"
  return (
    api !== "embeddings" &&
    hasPrompt &&
    isText &&
    hasOneAnswer(request) &&
    excludingFields.every((field) => isBlank(body[field]))
  )
}

/** Appends the answer's text as a message, or to the last message if the answer continues that one. */
const withText = (messages: ReadonlyArray<unknown>, text: string, continuesLast: boolean) => {
  const last = messages.at(-1)
  return continuesLast && Predicate.isReadonlyObject(last) && typeof last["content"] === "string"
    ? [...messages.slice(0, -1), { ...last, content: last["content"] + text }]
    : [...messages, { role: "assistant", content: text }]
}

/** The limits of an answer, less the pieces that were delivered; a piece is about one token. */
const remainingLimits = (body: GatewayRequest["body"], pieces: number) =>
  Object.fromEntries(
    ["max_tokens", "max_completion_tokens"].flatMap((field) => {
      const limit = body[field]
      return typeof limit === "number" ? [[field, Math.max(1, limit - pieces)]] : []
    })
  )

/** The body of the request for the rest of an answer, after `pieces` pieces with the text `text`. */
export const continuationBody = (
  { api, body }: Pick<GatewayRequest, "api" | "body">,
  text: string,
  pieces: number
): GatewayRequest["body"] => {
  if (text === "") return body
  const limits = remainingLimits(body, pieces)
  const { continue_final_message, messages, prompt } = body
  return api === "chat/completions"
    ? {
        ...body,
        ...limits,
        messages: withText(Array.isArray(messages) ? messages : [], text, continue_final_message === true),
        // Fields of vLLM; llama-server continues a last message of the assistant without them.
        add_generation_prompt: false,
        continue_final_message: true
      }
    : { ...body, ...limits, prompt: `${String(prompt)}${text}` }
}
