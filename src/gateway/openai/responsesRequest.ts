import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { mergeTurns, placeSystem } from "../endpoint/conversation.ts"
import type { Body, InvalidRequest, Reading } from "../endpoint/Endpoint.ts"
import {
  type EngineMessage,
  engineTool,
  definedFields,
  optional,
  reader,
  unsupportedField
} from "../endpoint/reading.ts"
import { type ToolChoice, toolFields } from "../endpoint/tools.ts"
import { Item, readItems, type Turns } from "./responsesItems.ts"

const Tool = Schema.Struct({
  type: Schema.String,
  name: optional(Schema.String),
  description: optional(Schema.String),
  parameters: optional(Schema.Record(Schema.String, Schema.Unknown)),
  strict: optional(Schema.Boolean)
})
type Tool = typeof Tool.Type

const TextFormat = Schema.Struct({
  type: Schema.Literals(["text", "json_object", "json_schema"]),
  name: optional(Schema.String),
  schema: optional(Schema.Record(Schema.String, Schema.Unknown)),
  strict: optional(Schema.Boolean)
})

const Choice = Schema.Union([
  Schema.Literals(["auto", "none", "required"]),
  Schema.Struct({
    type: Schema.String,
    name: optional(Schema.String),
    mode: optional(Schema.Literals(["auto", "required"])),
    tools: optional(Schema.Array(Schema.Struct({ type: Schema.String, name: optional(Schema.String) })))
  })
])

/**
 * The body of `/v1/responses`. Unknown fields are ignored, as are `include`, `prompt_cache_key` and `service_tier`. `store` is
 * accepted, but the response reports `store: false`.
 */
export const ResponsesRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  input: optional(Schema.Union([Schema.String, Schema.Array(Item).check(Schema.isMaxLength(4096))])),
  instructions: optional(Schema.String),
  max_output_tokens: optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  temperature: optional(Schema.Finite),
  top_p: optional(Schema.Finite),
  text: optional(Schema.Struct({ format: optional(TextFormat) })),
  tools: optional(Schema.Array(Tool)),
  tool_choice: optional(Choice),
  parallel_tool_calls: optional(Schema.Boolean),
  reasoning: optional(Schema.Struct({ effort: optional(Schema.String) })),
  metadata: optional(Schema.Record(Schema.String, Schema.Unknown)),
  stream: optional(Schema.Boolean),
  store: optional(Schema.Boolean),
  truncation: optional(Schema.Literals(["auto", "disabled"])),
  background: optional(Schema.Boolean),
  previous_response_id: optional(Schema.String),
  conversation: optional(Schema.Unknown),
  prompt: optional(Schema.Unknown)
})
export type ResponsesRequest = typeof ResponsesRequest.Type

export const readResponses = reader(ResponsesRequest)

const toFormat = ({ name, schema, strict, type }: typeof TextFormat.Type) =>
  type === "json_schema"
    ? { type, json_schema: definedFields({ name: name ?? "answer", schema, strict }) }
    : { type }

const toChoice = (choice: ResponsesRequest["tool_choice"]): ToolChoice | undefined => {
  if (choice === undefined || choice === null) return undefined
  if (typeof choice === "string") return { _tag: "Mode", mode: choice }
  if (choice.type !== "allowed_tools") {
    // A tool that OpenAI's servers run has a type instead of a name.
    return { _tag: "Only", names: [choice.name ?? choice.type], required: true }
  }
  const names = (choice.tools ?? []).flatMap(({ name, type }) => (type === "function" && name ? [name] : []))
  const required = choice.mode === "required"
  return names.length === 0
    ? { _tag: "Mode", mode: required ? "required" : "none" }
    : { _tag: "Only", names, required }
}

const isFunction = ({ name, type }: Tool) => type === "function" && typeof name === "string"

const omittedTool = ({ name, type }: Tool) =>
  `The tool ${name ? `'${name}' of the type '${type}'` : `'${type}'`} is ignored: engines support functions only`

const sendConversation = "responses are not stored here; send the complete conversation as 'input'"
const storedFields = {
  conversation: sendConversation,
  previous_response_id: sendConversation,
  prompt: "prompts are not stored here; send the text as 'instructions' and 'input'"
} as const

/** Rejects fields that require stored responses, conversations or prompts. */
function* checkStored(request: ResponsesRequest): Reading<void> {
  if (request.background === true) {
    yield* unsupportedField("background", "responses are not stored here; wait for this one, or stream it")
  }
  for (const field of Struct.keys(storedFields)) {
    const value = request[field]
    if (value !== undefined && value !== null) yield* unsupportedField(field, storedFields[field])
  }
}

const notTruncated = "'truncation' is not supported: a prompt that exceeds the context is rejected"

const turnsOf = (input: ResponsesRequest["input"]): Result.Result<Turns, InvalidRequest> =>
  typeof input === "object" && input !== null
    ? readItems(input)
    : Result.succeed({ messages: input ? [{ role: "user", content: input }] : [], notes: [] })

/** A request in the engines' format. */
export interface ResponsesBody {
  readonly body: Body
  /** A sentence for each omitted part of the request. */
  readonly notes: ReadonlyArray<string>
}

function* toEngine(request: ResponsesRequest): Reading<ResponsesBody> {
  const { instructions, max_output_tokens, parallel_tool_calls, temperature, text, tool_choice, top_p } =
    request
  yield* Result.gen(() => checkStored(request))
  const { messages, notes } = yield* turnsOf(request.input)
  const system: ReadonlyArray<EngineMessage> = instructions ? [{ role: "system", content: instructions }] : []
  const turns = mergeTurns(placeSystem([...system, ...messages]))
  if (turns.length === 0) yield* unsupportedField("input", "the input is empty; send a text or items")
  const tools = request.tools ?? []
  const functions = tools.filter(isFunction)
  const choice = yield* toolFields(
    functions.map(({ description, name, parameters, strict }) =>
      engineTool(name ?? "", description, parameters, strict)
    ),
    toChoice(tool_choice),
    parallel_tool_calls
  )
  const format = text?.format
  return {
    notes: [
      ...notes,
      ...tools.filter((tool) => !isFunction(tool)).map(omittedTool),
      ...(request.truncation === "auto" ? [notTruncated] : [])
    ],
    body: definedFields({
      messages: turns,
      max_tokens: max_output_tokens,
      temperature,
      top_p,
      ...(format && format.type !== "text" ? { response_format: toFormat(format) } : {}),
      ...choice
    })
  }
}

/** Translates a request to the engines' format. Rejects requests that require stored state. */
export const engineBody = (request: ResponsesRequest): Result.Result<ResponsesBody, InvalidRequest> =>
  Result.gen(() => toEngine(request))
