import * as Effect from "effect/Effect"
import type { ChatMessage } from "./ChatTemplate.ts"
import type { Engine } from "./Engine.ts"
import { BadRequest } from "./errors.ts"
import type { TextOrTokens } from "./Tokenizer.ts"
import type { ChatRequest, CompletionRequest, Message } from "./Wire.ts"

type List = string | ReadonlyArray<number> | ReadonlyArray<TextOrTokens>

const isTokens = (list: Exclude<List, string>): list is ReadonlyArray<number> =>
  list.length > 0 && list.every((item) => typeof item === "number")

/** Converts OpenAI's four forms of input to a list: a text, texts, token ids, lists of token ids. */
export const inputsOf = (input: List): ReadonlyArray<TextOrTokens> =>
  typeof input === "string" || isTokens(input) ? [input] : input

/** The tokenized prompts of a completion. */
export const completionPrompts = (engine: Engine["Service"], { prompt }: CompletionRequest) => {
  const inputs = inputsOf(prompt)
  return Effect.forEach(inputs, (input, index) =>
    engine.tokenize(input, inputs.length === 1 ? "prompt" : `prompt.${index}`)
  )
}

// Templates recognize a tool call by absent content.
const absentContent = ({ tool_calls }: Message) => ((tool_calls?.length ?? 0) > 0 ? undefined : "")

const contentOf = (message: Message) => {
  const { content } = message
  if (content === undefined || content === null) return absentContent(message)
  return typeof content === "string" ? content : content.map(({ text }) => text).join("")
}

const toMessage = (message: Message): ChatMessage => ({
  role: message.role,
  content: contentOf(message),
  toolCalls: (message.tool_calls ?? []).map(({ function: called, id }) => ({
    id: id ?? "",
    name: called.name,
    arguments: called.arguments
  })),
  toolCallId: message.tool_call_id ?? undefined,
  name: message.name || undefined
})

/** The tokenized prompt of a chat. */
export const chatPrompt = Effect.fnUntraced(function* (engine: Engine["Service"], request: ChatRequest) {
  const continuesLast = request.continue_final_message === true
  if (continuesLast && request.messages.at(-1)?.role !== "assistant") {
    return yield* new BadRequest({
      reason: "'continue_final_message' requires the last message to have the role assistant",
      param: "continue_final_message",
      code: "invalid_value"
    })
  }
  return yield* engine.tokenizeChat(request.messages.map(toMessage), continuesLast)
})
