import * as Predicate from "effect/Predicate"
import { sseFrame } from "../../http/SseFrame.ts"
import type { AnswerWriter } from "../endpoint/AnswerWriter.ts"
import type { Body } from "../endpoint/Endpoint.ts"

/** Whether a request uses `functions`, OpenAI's predecessor of `tools`. */
export const usesFunctions = ({ functions }: Body) => Array.isArray(functions) && functions.length > 0

/** Converts `functions` and `function_call` to `tools` and `tool_choice`. */
export const toolsOfFunctions = ({ function_call, functions, ...body }: Body): Body => {
  if (!Array.isArray(functions) || functions.length === 0) return body
  return {
    ...body,
    tools: functions.map((definition: unknown) => ({ type: "function", function: definition })),
    tool_choice: Predicate.isReadonlyObject(function_call)
      ? { type: "function", function: { name: function_call["name"] } }
      : function_call,
    // A message has at most one `function_call`.
    parallel_tool_calls: false
  }
}

const idOf = (call: number) => `call_${call}`

type Fields = Readonly<Record<string, unknown>>

const resultOf = (message: Fields, calls: number): Fields => {
  const { name: _, ...others } = message
  return { ...others, role: "tool", tool_call_id: idOf(calls) }
}

const callOf = ({ function_call, ...others }: Fields, calls: number): Fields => ({
  ...others,
  tool_calls: [{ id: idOf(calls), type: "function", function: function_call }]
})

/** Converts messages with `function_call`, and those of the role `function`, to tool calls and tool results. */
export const callsOfFunctions = (body: Body): Body => {
  const { messages } = body
  const isResult = (message: Fields) => message["role"] === "function"
  const isCall = (message: Fields) => Predicate.isReadonlyObject(message["function_call"])
  const isLegacy = (message: unknown) =>
    Predicate.isReadonlyObject(message) && (isResult(message) || isCall(message))
  if (!Array.isArray(messages) || !messages.some(isLegacy)) return body
  let calls = 0
  const read = (message: unknown): unknown => {
    if (!Predicate.isReadonlyObject(message)) return message
    if (isResult(message)) return resultOf(message, calls)
    return isCall(message) ? callOf(message, ++calls) : message
  }
  return { ...body, messages: messages.map(read) }
}

const finishOf = (reason: unknown) => (reason === "tool_calls" ? "function_call" : reason)

const withFunction = (message: unknown): unknown => {
  if (!Predicate.isReadonlyObject(message)) return message
  const { tool_calls, ...others } = message
  const call: unknown = Array.isArray(tool_calls) ? tool_calls[0] : undefined
  return Predicate.isReadonlyObject(call) ? { ...others, function_call: call["function"] } : others
}

const choiceWithFunction = (choice: unknown): unknown =>
  Predicate.isReadonlyObject(choice)
    ? {
        ...choice,
        finish_reason: finishOf(choice["finish_reason"]),
        ...("message" in choice ? { message: withFunction(choice["message"]) } : {}),
        ...("delta" in choice ? { delta: withFunction(choice["delta"]) } : {})
      }
    : choice

/** An answer, or a chunk of one, with `function_call` instead of `tool_calls`. */
export const answerWithFunctions = (answer: Body): Body => ({
  ...answer,
  choices: Array.isArray(answer["choices"]) ? answer["choices"].map(choiceWithFunction) : answer["choices"]
})

/** Writes the chunks of a stream with `function_call`. It parses each chunk. */
export const functionWriter = (writer: AnswerWriter): AnswerWriter => ({
  ...writer,
  chunk: (data) => {
    if (writer.chunk(data) === "") return ""
    const parsed: unknown = JSON.parse(data)
    return Predicate.isReadonlyObject(parsed) ? sseFrame(JSON.stringify(answerWithFunctions(parsed))) : ""
  }
})
