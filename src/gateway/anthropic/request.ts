import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Body, InvalidRequest, Reading } from "../Door.ts"
import {
  contentOf,
  type EngineMessage,
  engineTool,
  type EngineToolCall,
  given,
  optional,
  reader,
  unsupported
} from "../reading.ts"

const Text = Schema.Struct({ type: Schema.String, text: optional(Schema.String) })

// One shape for all kinds of blocks, so that one that is not known can be named.
const Block = Schema.Struct({
  ...Text.fields,
  id: optional(Schema.String),
  name: optional(Schema.String),
  input: optional(Schema.Unknown),
  tool_use_id: optional(Schema.String),
  content: optional(Schema.Union([Schema.String, Schema.Array(Text)])),
  is_error: optional(Schema.Boolean)
})
type Block = typeof Block.Type

const Message = Schema.Struct({
  role: Schema.Literals(["user", "assistant"]),
  content: Schema.Union([Schema.String, Schema.Array(Block)])
})
type Message = typeof Message.Type

const Tool = Schema.Struct({
  type: optional(Schema.String),
  name: Schema.NonEmptyString,
  description: optional(Schema.String),
  input_schema: optional(Schema.Record(Schema.String, Schema.Unknown))
})

const ToolChoice = Schema.Struct({
  type: Schema.Literals(["auto", "any", "tool", "none"]),
  name: optional(Schema.String),
  disable_parallel_tool_use: optional(Schema.Boolean)
})

const OutputFormat = Schema.Struct({
  type: Schema.Literal("json_schema"),
  schema: Schema.Record(Schema.String, Schema.Unknown)
})

const common = {
  model: Schema.NonEmptyString,
  messages: Schema.Array(Message).check(Schema.isMinLength(1), Schema.isMaxLength(4096)),
  system: optional(Schema.Union([Schema.String, Schema.Array(Text)])),
  tools: optional(Schema.Array(Tool)),
  tool_choice: optional(ToolChoice),
  output_config: optional(Schema.Struct({ format: optional(OutputFormat) }))
}

/**
 * The body of `/v1/messages`. `thinking` is passed over: whether an engine thinks is its own affair, and what it tells
 * of it is given as blocks of that kind.
 */
const MessagesRequest = Schema.Struct({
  ...common,
  max_tokens: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  stop_sequences: optional(Schema.Array(Schema.String)),
  temperature: optional(Schema.Finite),
  top_p: optional(Schema.Finite),
  top_k: optional(Schema.Int),
  stream: optional(Schema.Boolean)
})

export const readMessages = reader(MessagesRequest)
export const readCount = reader(Schema.Struct(common))

type Common = typeof MessagesRequest.Type | Result.Result.Success<ReturnType<typeof readCount>>

const textsOf = (content: string | ReadonlyArray<typeof Text.Type> | null | undefined) =>
  typeof content === "string" ? [content] : (content ?? []).map(({ text }) => text ?? "")

const ignored = new Set(["thinking", "redacted_thinking"])
const known: { readonly [Role in Message["role"]]: ReadonlySet<string> } = {
  user: new Set(["text", "tool_result"]),
  assistant: new Set(["text", "tool_use", ...ignored])
}

const toCall = ({ id, input, name }: Block): EngineToolCall => ({
  id: id ?? "",
  type: "function",
  function: { name: name ?? "", arguments: JSON.stringify(input ?? {}) }
})

const toMessages = (
  { content, role }: Message,
  index: number
): Result.Result<ReadonlyArray<EngineMessage>, InvalidRequest> => {
  if (typeof content === "string") return Result.succeed([{ role, content }])
  const strange = content.findIndex(({ type }) => !known[role].has(type))
  if (strange !== -1) {
    const what = `a message of the ${role} cannot have a block of the type '${content[strange]?.type}' here: text and tools only`
    return unsupported(`messages.${index}.content.${strange}.type`, what)
  }
  const texts = content.filter(({ type }) => type === "text").map(({ text }) => text ?? "")
  if (role === "assistant") {
    const calls = content.filter(({ type }) => type === "tool_use").map(toCall)
    return Result.succeed([
      calls.length === 0
        ? { role, content: contentOf(texts) }
        : { role, content: texts.length === 0 ? null : contentOf(texts), tool_calls: calls }
    ])
  }
  const results = content
    .filter(({ type }) => type === "tool_result")
    .map(({ content, tool_use_id }): EngineMessage => ({
      role: "tool",
      tool_call_id: tool_use_id ?? "",
      content: contentOf(textsOf(content))
    }))
  return Result.succeed(
    results.length > 0 && texts.length === 0 ? results : [...results, { role, content: contentOf(texts) }]
  )
}

const toChoice = ({ name, type }: typeof ToolChoice.Type) => {
  if (type === "tool") return { type: "function", function: { name } }
  return type === "any" ? "required" : type
}

function* toConversation({ messages, output_config, system, tool_choice, tools }: Common): Reading<Body> {
  const turns = yield* Result.all(messages.map(toMessages))
  const all: Array<EngineMessage> = turns.flat()
  const texts = textsOf(system)
  if (texts.length > 0) all.unshift({ role: "system", content: contentOf(texts) })
  const server = (tools ?? []).findIndex(({ type }) => (type ?? "custom") !== "custom")
  if (server !== -1) {
    return yield* unsupported(
      `tools.${server}.type`,
      "only tools that the client runs itself can be used here"
    )
  }
  const schema = output_config?.format?.schema
  // An answer that the client has begun is gone on with: the words of vLLM.
  const begun = messages.at(-1)?.role === "assistant" && all.at(-1)?.tool_calls === undefined
  return given({
    messages: all,
    ...(tools === undefined || tools === null || tools.length === 0
      ? {}
      : {
          tools: tools.map((tool) => engineTool(tool.name, tool.description, tool.input_schema)),
          tool_choice: tool_choice ? toChoice(tool_choice) : undefined,
          parallel_tool_calls: tool_choice?.disable_parallel_tool_use === true ? false : undefined
        }),
    ...(schema === undefined
      ? {}
      : {
          response_format: { type: "json_schema", json_schema: { name: "answer", schema, strict: true } }
        }),
    ...(begun ? { continue_final_message: true, add_generation_prompt: false } : {})
  })
}

/** The part of the engine's body that says what is talked about. */
export const conversation = (request: Common): Result.Result<Body, InvalidRequest> =>
  Result.gen(() => toConversation(request))
