import * as Effect from "effect/Effect"
import type { ChatMessage } from "./ChatTemplate.ts"
import type { Engine, TextOrTokens } from "./Engine.ts"
import { BadRequest } from "./errors.ts"
import type { ChatRequest, CompletionRequest, Message } from "./Wire.ts"

type List = string | ReadonlyArray<number> | ReadonlyArray<TextOrTokens>

const isTokens = (list: Exclude<List, string>): list is ReadonlyArray<number> =>
  list.length > 0 && list.every((item) => typeof item === "number")

/** OpenAI's four forms of a text: one, a list of them, the ids of its tokens, a list of those. */
export const inputsOf = (input: List): ReadonlyArray<TextOrTokens> =>
  typeof input === "string" || isTokens(input) ? [input] : input

/** The prompts of a completion, each as tokens. */
export const completionPrompts = (engine: Engine["Service"], { prompt }: CompletionRequest) => {
  const inputs = inputsOf(prompt)
  return Effect.forEach(inputs, (input, index) =>
    engine.tokenize(input, inputs.length === 1 ? "prompt" : `prompt.${index}`)
  )
}

// Templates tell a call of a tool by a content that is absent.
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

/** The prompt of a chat, as tokens. */
export const chatPrompt = Effect.fnUntraced(function* (engine: Engine["Service"], request: ChatRequest) {
  const goesOn = request.continue_final_message === true
  if (goesOn && request.messages.at(-1)?.role !== "assistant") {
    return yield* new BadRequest({
      reason: "'continue_final_message' needs a last message of the assistant",
      param: "continue_final_message",
      code: "invalid_value"
    })
  }
  return yield* engine.tokenizeChat(request.messages.map(toMessage), goesOn)
})
