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

const Part = Schema.Struct({ type: Schema.String, text: optional(Schema.String) })
const Content = Schema.Union([Schema.String, Schema.Array(Part)])

// One shape for all kinds of items, so that one that is not known can be named.
const Item = Schema.Struct({
  type: optional(Schema.String),
  role: optional(Schema.Literals(["system", "developer", "user", "assistant"])),
  content: optional(Content),
  call_id: optional(Schema.String),
  name: optional(Schema.String),
  arguments: optional(Schema.String),
  output: optional(Content)
})
type Item = typeof Item.Type

const Tool = Schema.Struct({
  type: Schema.String,
  name: optional(Schema.String),
  description: optional(Schema.String),
  parameters: optional(Schema.Record(Schema.String, Schema.Unknown)),
  strict: optional(Schema.Boolean)
})

const TextFormat = Schema.Struct({
  type: Schema.Literals(["text", "json_object", "json_schema"]),
  name: optional(Schema.String),
  schema: optional(Schema.Record(Schema.String, Schema.Unknown)),
  strict: optional(Schema.Boolean)
})

/** The body of `/v1/responses`. `reasoning`, `include` and `truncation` are passed over: they are the engine's affair. */
export const ResponsesRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  input: Schema.Union([Schema.String, Schema.Array(Item).check(Schema.isMaxLength(4096))]),
  instructions: optional(Schema.String),
  max_output_tokens: optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  temperature: optional(Schema.Finite),
  top_p: optional(Schema.Finite),
  text: optional(Schema.Struct({ format: optional(TextFormat) })),
  tools: optional(Schema.Array(Tool)),
  tool_choice: optional(
    Schema.Union([
      Schema.Literals(["auto", "none", "required"]),
      Schema.Struct({ type: Schema.Literal("function"), name: Schema.String })
    ])
  ),
  parallel_tool_calls: optional(Schema.Boolean),
  metadata: optional(Schema.Record(Schema.String, Schema.String)),
  stream: optional(Schema.Boolean),
  store: optional(Schema.Boolean),
  background: optional(Schema.Boolean),
  previous_response_id: optional(Schema.String),
  conversation: optional(Schema.Unknown)
})
export type ResponsesRequest = typeof ResponsesRequest.Type

export const readResponses = reader(ResponsesRequest)

const isText = ({ type }: typeof Part.Type) =>
  type === "input_text" || type === "output_text" || type === "text"

const textsOf = (content: typeof Content.Type | null | undefined) =>
  typeof content === "string" ? [content] : (content ?? []).map(({ text }) => text ?? "")

const hasOnlyText = (content: typeof Content.Type | null | undefined) =>
  content === undefined || content === null || typeof content === "string" || content.every(isText)

const toCall = ({ arguments: given, call_id, name }: Item): EngineToolCall => ({
  id: call_id ?? "",
  type: "function",
  function: { name: name ?? "", arguments: given ?? "{}" }
})

const toMessages = (
  items: ReadonlyArray<Item>
): Result.Result<ReadonlyArray<EngineMessage>, InvalidRequest> => {
  const messages: Array<EngineMessage> = []
  for (const [index, item] of items.entries()) {
    const { type = "message" } = item
    if (!hasOnlyText(item.content) || !hasOnlyText(item.output)) {
      return unsupported(`input.${index}.content`, "only parts of text are supported")
    }
    if (type === "message" && item.role !== undefined && item.role !== null) {
      const role = item.role === "developer" ? "system" : item.role
      messages.push({ role, content: contentOf(textsOf(item.content)) })
    } else if (type === "function_call_output") {
      messages.push({
        role: "tool",
        tool_call_id: item.call_id ?? "",
        content: contentOf(textsOf(item.output))
      })
    } else if (type === "function_call") {
      // Calls of one turn follow each other, and what the assistant said stands before them.
      const last = messages.at(-1)
      const calls = [...(last?.tool_calls ?? []), toCall(item)]
      if (last?.role === "assistant") messages[messages.length - 1] = { ...last, tool_calls: calls }
      else messages.push({ role: "assistant", content: null, tool_calls: calls })
    } else if (type !== "reasoning") {
      return unsupported(`input.${index}.type`, `items of the type '${type}' are not supported here`)
    }
  }
  return Result.succeed(messages)
}

const toFormat = ({ name, schema, strict, type }: typeof TextFormat.Type) =>
  type === "json_schema" ? { type, json_schema: given({ name: name ?? "answer", schema, strict }) } : { type }

const toChoice = (choice: ResponsesRequest["tool_choice"]) =>
  typeof choice === "object" && choice !== null
    ? { type: "function", function: { name: choice.name } }
    : choice

const kept = ["background", "store"] as const
const continued = ["conversation", "previous_response_id"] as const

function* toEngine(request: ResponsesRequest): Reading<Body> {
  const {
    input,
    instructions,
    max_output_tokens,
    parallel_tool_calls,
    temperature,
    text,
    tool_choice,
    top_p
  } = request
  for (const field of kept) {
    if (request[field] === true)
      yield* unsupported(field, "answers are not kept here; leave it out, or false")
  }
  for (const field of continued) {
    if (request[field] !== undefined && request[field] !== null) {
      yield* unsupported(field, "answers are not kept here; send the whole conversation as 'input'")
    }
  }
  const tools = request.tools ?? []
  const strange = tools.findIndex(({ type }) => type !== "function")
  if (strange !== -1) {
    yield* unsupported(`tools.${strange}.type`, "only tools of the type 'function' can be used here")
  }
  const turns = typeof input === "string" ? [{ role: "user", content: input }] : yield* toMessages(input)
  const format = text?.format
  return given({
    messages: instructions ? [{ role: "system", content: instructions }, ...turns] : turns,
    max_tokens: max_output_tokens,
    temperature,
    top_p,
    ...(format && format.type !== "text" ? { response_format: toFormat(format) } : {}),
    ...(tools.length === 0
      ? {}
      : {
          tools: tools.map(({ description, name, parameters, strict }) =>
            engineTool(name ?? "", description, parameters, strict)
          ),
          tool_choice: toChoice(tool_choice),
          parallel_tool_calls
        })
  })
}

/** The request in the engines' words. Whatever needs an answer to be kept is refused: nothing is. */
export const engineBody = (request: ResponsesRequest): Result.Result<Body, InvalidRequest> =>
  Result.gen(() => toEngine(request))
