import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ModelParameters, samplingFields } from "../../operation/ModelParameters.ts"
import { type Body, InvalidRequest } from "../endpoint/Endpoint.ts"
import { type EngineMessage, engineTool, type EngineToolCall, optional, reader } from "../endpoint/reading.ts"

const Call = Schema.Struct({
  id: optional(Schema.String),
  function: Schema.Struct({
    name: Schema.String,
    arguments: optional(Schema.Union([Schema.Record(Schema.String, Schema.Unknown), Schema.String]))
  })
})

const Message = Schema.Struct({
  role: Schema.Literals(["system", "developer", "user", "assistant", "tool"]),
  content: optional(Schema.String),
  thinking: optional(Schema.String),
  images: optional(Schema.Array(Schema.Unknown)),
  tool_calls: optional(Schema.Array(Call)),
  tool_call_id: optional(Schema.String),
  tool_name: optional(Schema.String)
})
type Message = typeof Message.Type

const Tool = Schema.Struct({
  function: Schema.Struct({
    name: Schema.NonEmptyString,
    description: optional(Schema.String),
    parameters: optional(Schema.Record(Schema.String, Schema.Unknown))
  })
})

const Format = Schema.Union([
  Schema.String.check(
    Schema.isPattern(/^(json)?$/, { expected: '"json", or the JSON schema of the answer' })
  ),
  Schema.Record(Schema.String, Schema.Unknown)
])

const KeepAlive = Schema.Union([
  Schema.Finite,
  Schema.String.check(
    Schema.isPattern(/^\s*(?:[+-]?\d+(?:\.\d+)?|[+-]?(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+)?\s*$/, {
      expected: 'a duration such as "5m", or a number of seconds'
    })
  )
])

const Think = Schema.Union([Schema.Boolean, Schema.Literals(["low", "medium", "high", ""])])

const common = {
  model: Schema.NonEmptyString,
  stream: optional(Schema.Boolean),
  format: optional(Format),
  options: optional(ModelParameters),
  keep_alive: optional(KeepAlive),
  think: optional(Think)
}

const Common = Schema.Struct(common)

/** The common fields of the bodies of `/api/chat` and `/api/generate`. */
export type Common = typeof Common.Type

/** The body of `/api/chat`. */
export const ChatRequest = Schema.Struct({
  ...Common.fields,
  messages: optional(Schema.Array(Message).check(Schema.isMaxLength(4096))),
  tools: optional(Schema.Array(Tool))
})
export const readChat = reader(ChatRequest)

/** The body of `/api/generate`. */
export const GenerateRequest = Schema.Struct({
  ...Common.fields,
  prompt: optional(Schema.String),
  system: optional(Schema.String),
  raw: optional(Schema.Boolean),
  suffix: optional(Schema.String),
  template: optional(Schema.String),
  context: optional(Schema.Array(Schema.Unknown)),
  images: optional(Schema.Array(Schema.Unknown))
})
export const readGenerate = reader(GenerateRequest)

/** The body of `/api/embed`. */
export const EmbedRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  input: optional(Schema.Union([Schema.String, Schema.Array(Schema.String)])),
  dimensions: optional(Schema.Int),
  truncate: optional(Schema.Boolean),
  keep_alive: optional(KeepAlive)
})
export const readEmbed = reader(EmbedRequest)

/** The body of the older `/api/embeddings`. */
export const OldEmbeddingRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  prompt: optional(Schema.String)
})
export const readOldEmbedding = reader(OldEmbeddingRequest)

/** The body of requests that name a model. Ollama's own client sends `model` and `name`, one of them empty. */
export const NamedBody = Schema.Struct({
  model: optional(Schema.String),
  name: optional(Schema.String),
  stream: optional(Schema.Boolean)
})

const readNamedBody = reader(NamedBody)

/** Reads the body of a request that names a model. */
export const readNamed = (body: Body) =>
  Result.flatMap(readNamedBody(body), ({ model, name, stream }) => {
    const requested = model || name
    return requested
      ? Result.succeed({ name: requested, stream: stream !== false })
      : Result.fail(new InvalidRequest({ reason: "'model' must be the name of a model", param: "model" }))
  })

/** Ollama's default sampling parameters (`DefaultOptions` of its package `api`). */
export const defaults = samplingFields({ temperature: 0.8, top_k: 40, top_p: 0.9, repeat_penalty: 1.1 })

/** The fields by which llama-server and vLLM switch reasoning in the chat template on or off. */
export const thinking = (think: boolean | string | null | undefined): Body => {
  if (think === undefined || think === null || think === "") return {}
  const level = typeof think === "string" ? { reasoning_effort: think } : {}
  return { ...level, chat_template_kwargs: { enable_thinking: think !== false, ...level } }
}

const zero = /^-?0+(\.0+)?(ns|us|µs|ms|s|m|h)?$/

/** Whether the model is to be unloaded after the answer. */
export const unloadsModel = (keepAlive: string | number | null | undefined) =>
  keepAlive !== undefined && keepAlive !== null && zero.test(String(keepAlive).trim())

/** The `response_format` of the engine's body. */
export const responseFormat = (format: string | Body | null | undefined): Body => {
  if (format === undefined || format === null || format === "") return {}
  return {
    response_format:
      typeof format === "string"
        ? { type: "json_object" }
        : { type: "json_schema", json_schema: { name: "answer", schema: format, strict: true } }
  }
}

/**
 * The conversation in the engines' format. Ollama's tool calls need no ids: a result without one belongs to the oldest open
 * call of its tool name, otherwise to the oldest open call.
 */
export const toMessages = (messages: ReadonlyArray<Message>): ReadonlyArray<EngineMessage> => {
  const open: Array<EngineToolCall> = []
  const answered = (id: string | null | undefined, name: string | null | undefined) => {
    const byId = open.findIndex((call) => call.id === id)
    const found = byId === -1 ? open.findIndex((call) => call.function.name === name) : byId
    const [call] = open.splice(Math.max(0, found), 1)
    return call?.id ?? id ?? ""
  }
  return messages.map(
    ({ content, thinking, tool_call_id, tool_calls, tool_name, ...turn }, at): EngineMessage => {
      const text = content ?? ""
      const role = turn.role === "developer" ? "system" : turn.role
      if (role === "tool") return { role, content: text, tool_call_id: answered(tool_call_id, tool_name) }
      const reasoning = isPresent(thinking) ? { reasoning_content: thinking ?? "" } : {}
      if (tool_calls === undefined || tool_calls === null || tool_calls.length === 0)
        return { role, content: text, ...reasoning }
      const calls = tool_calls.map(({ function: called, id }, index): EngineToolCall => ({
        id: id || `call_${at}_${index}`,
        type: "function",
        function: { name: called.name, arguments: argumentsOf(called.arguments) }
      }))
      open.push(...calls)
      return { role, content: text === "" ? null : text, tool_calls: calls, ...reasoning }
    }
  )
}

const argumentsOf = (value: Body | string | null | undefined) =>
  typeof value === "string" && value !== "" ? value : JSON.stringify(value || {})

/** The tools in the engines' format. */
export const toTools = (tools: ReadonlyArray<typeof Tool.Type> | null | undefined): Body =>
  tools === undefined || tools === null || tools.length === 0
    ? {}
    : {
        tools: tools.map(({ function: { description, name, parameters } }) =>
          engineTool(name, description, parameters)
        )
      }

/** Whether a field has a value: not undefined, null, an empty string or an empty list. */
export const isPresent = (value: unknown) =>
  value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0)
