import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { contentOf, mergeTurns, placeSystem } from "../endpoint/conversation.ts"
import type { Body, InvalidRequest, Reading } from "../endpoint/Endpoint.ts"
import { type EngineMessage, engineTool, definedFields, optional, reader } from "../endpoint/reading.ts"
import { type ToolChoice, toolFields } from "../endpoint/tools.ts"
import { assistantTurn, Content, toParts, userTurn } from "./blocks.ts"

const Message = Schema.Struct({
  role: Schema.Literals(["user", "assistant", "system"]),
  /** Absent or null in an empty turn, which clients send for an answer that was interrupted immediately. */
  content: optional(Content)
})
type Message = typeof Message.Type

const Tool = Schema.Struct({
  type: optional(Schema.String),
  name: optional(Schema.NonEmptyString),
  description: optional(Schema.String),
  input_schema: optional(Schema.Record(Schema.String, Schema.Unknown))
})
type Tool = typeof Tool.Type

const Choice = Schema.Struct({
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
  system: optional(Content),
  tools: optional(Schema.Array(Tool)),
  tool_choice: optional(Choice),
  /** The field of older betas. */
  output_format: optional(OutputFormat),
  output_config: optional(Schema.Struct({ format: optional(OutputFormat) }))
}

/**
 * The body of `/v1/messages`. Unknown fields are ignored, as are `thinking`, `context_management` and `metadata`: reasoning
 * is configured with the engine, and the answer contains it as `thinking` blocks.
 */
export const MessagesRequest = Schema.Struct({
  ...common,
  max_tokens: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  stop_sequences: optional(Schema.Array(Schema.String)),
  temperature: optional(Schema.Finite),
  top_p: optional(Schema.Finite),
  top_k: optional(Schema.Int),
  stream: optional(Schema.Boolean)
})

export const readMessages = reader(MessagesRequest)

/** The body of `/v1/messages/count_tokens`. */
export const CountRequest = Schema.Struct(common)

export const readCount = reader(CountRequest)

type Common = typeof MessagesRequest.Type | Result.Result.Success<ReturnType<typeof readCount>>

/** A conversation in the engines' format. */
export interface Conversation {
  /** The fields of the engine's body that contain the conversation. */
  readonly fields: Body
  /** A sentence for each omitted part of the request. */
  readonly notes: ReadonlyArray<string>
}

const choiceOf = (choice: typeof Choice.Type | null | undefined): ToolChoice | undefined => {
  if (choice === null || choice === undefined) return undefined
  if (choice.type === "tool") return { _tag: "Only", names: [choice.name ?? ""], required: true }
  return { _tag: "Mode", mode: choice.type === "any" ? "required" : choice.type }
}

// Anthropic's servers run the other tools, or its models know them without a schema.
const isClientTool = ({ name, type }: Tool) => (type ?? "custom") === "custom" && typeof name === "string"

function* toTurn(
  { content: optionalContent, role }: Message,
  index: number,
  notes: Set<string>
): Reading<ReadonlyArray<EngineMessage>> {
  const path = `messages.${index}.content`
  const content = optionalContent ?? ""
  if (role === "system") return [{ role, content: contentOf(yield* toParts(content, path)) }]
  if (role === "user") return yield* Result.gen(() => userTurn(content, path))
  const { message, omitted } = assistantTurn(content)
  for (const type of omitted) notes.add(`Blocks of the type '${type}' in answers are ignored`)
  return [message]
}

function* toConversation(request: Common): Reading<Conversation> {
  const { messages, output_config, output_format, system, tool_choice } = request
  const notes = new Set<string>()
  const turns: Array<EngineMessage> = []
  const instructions = contentOf(yield* toParts(system ?? "", "system"))
  if (instructions !== "") turns.push({ role: "system", content: instructions })
  for (const [index, message] of messages.entries()) {
    turns.push(...(yield* Result.gen(() => toTurn(message, index, notes))))
  }
  const all = mergeTurns(placeSystem(turns))
  const tools = request.tools ?? []
  for (const tool of tools) {
    if (!isClientTool(tool)) {
      notes.add(
        `The tool '${tool.name ?? tool.type ?? ""}' is ignored: Anthropic's servers run tools of the type '${tool.type}'`
      )
    }
  }
  const schema = (output_config?.format ?? output_format)?.schema
  // The engine continues an answer that the client has begun; vLLM defined these fields.
  const last = all.at(-1)
  const isContinued = last?.role === "assistant" && last.tool_calls === undefined
  const choice = yield* toolFields(
    tools
      .filter(isClientTool)
      .map((tool) => engineTool(tool.name ?? "", tool.description, tool.input_schema)),
    choiceOf(tool_choice),
    tool_choice?.disable_parallel_tool_use === true ? false : undefined
  )
  return {
    notes: [...notes],
    fields: definedFields({
      messages: all,
      ...choice,
      ...(schema === undefined
        ? {}
        : {
            response_format: { type: "json_schema", json_schema: { name: "answer", schema, strict: true } }
          }),
      ...(isContinued ? { continue_final_message: true, add_generation_prompt: false } : {})
    })
  }
}

/** Translates the conversation of a request to the engines' format. */
export const conversation = (request: Common): Result.Result<Conversation, InvalidRequest> =>
  Result.gen(() => toConversation(request))
