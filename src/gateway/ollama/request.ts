import * as Schema from "effect/Schema"
import type { Body } from "../Door.ts"
import { type EngineMessage, engineTool, type EngineToolCall, given, optional, reader } from "../reading.ts"

const Call = Schema.Struct({
  id: optional(Schema.String),
  function: Schema.Struct({
    name: Schema.String,
    arguments: optional(Schema.Record(Schema.String, Schema.Unknown))
  })
})

const Message = Schema.Struct({
  role: Schema.Literals(["system", "developer", "user", "assistant", "tool"]),
  content: optional(Schema.String),
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

const Options = Schema.Struct({
  num_predict: optional(Schema.Int),
  stop: optional(Schema.Union([Schema.String, Schema.Array(Schema.String)])),
  temperature: optional(Schema.Finite),
  top_p: optional(Schema.Finite),
  top_k: optional(Schema.Int),
  min_p: optional(Schema.Finite),
  seed: optional(Schema.Int),
  presence_penalty: optional(Schema.Finite),
  frequency_penalty: optional(Schema.Finite),
  repeat_penalty: optional(Schema.Finite),
  repeat_last_n: optional(Schema.Int)
})

const Format = Schema.Union([
  Schema.String.check(
    Schema.isPattern(/^(json)?$/, { expected: '"json", or the JSON schema of the answer' })
  ),
  Schema.Record(Schema.String, Schema.Unknown)
])

const KeepAlive = Schema.Union([Schema.String, Schema.Finite])

const common = {
  model: Schema.NonEmptyString,
  stream: optional(Schema.Boolean),
  format: optional(Format),
  options: optional(Options),
  keep_alive: optional(KeepAlive)
}

/**
 * The body of `/api/chat`. `think` is passed over: whether an engine thinks is its own affair. So is `num_ctx`: the
 * context is that of the worker, which an alias of the settings can say; and `keep_alive`: how long a worker stays is
 * said by `scheduler.idle_ttl` and `workers.idle_stop`.
 */
export const readChat = reader(
  Schema.Struct({
    ...common,
    messages: optional(Schema.Array(Message).check(Schema.isMaxLength(4096))),
    tools: optional(Schema.Array(Tool))
  })
)

/** The body of `/api/generate`, as that of `/api/chat`. */
export const readGenerate = reader(
  Schema.Struct({
    ...common,
    prompt: optional(Schema.String),
    system: optional(Schema.String),
    raw: optional(Schema.Boolean),
    suffix: optional(Schema.String),
    template: optional(Schema.String),
    context: optional(Schema.Array(Schema.Unknown)),
    images: optional(Schema.Array(Schema.Unknown))
  })
)

/** The body of `/api/embed`. */
export const readEmbed = reader(
  Schema.Struct({
    model: Schema.NonEmptyString,
    input: optional(Schema.Union([Schema.String, Schema.Array(Schema.String)])),
    dimensions: optional(Schema.Int),
    /** Ollama cuts a text that is too long, unless it is told not to. */
    truncate: optional(Schema.Boolean)
  })
)

/** The body of the older `/api/embeddings`. */
export const readOldEmbedding = reader(
  Schema.Struct({ model: Schema.NonEmptyString, prompt: optional(Schema.String) })
)

const from = (minimum: number, value: number | null | undefined) =>
  value === undefined || value === null || value < minimum ? undefined : value

/**
 * The options as the engines call them. To Ollama a `num_predict` below 1 is no limit, a negative `seed` is any, and a
 * negative `top_k` is 0, every token.
 */
export const sampling = (options: typeof Options.Type | null | undefined): Body => {
  const { num_predict, seed, top_k, ...others } = options ?? {}
  return given({
    ...others,
    max_tokens: from(1, num_predict),
    seed: from(0, seed),
    top_k: top_k === undefined || top_k === null ? undefined : Math.max(0, top_k)
  })
}

/** What the answer is to look like. */
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
 * The conversation as the engines want it. Ollama's calls need no ids: what a tool gave belongs to the oldest open call
 * of its name, or to the oldest.
 */
export const toMessages = (messages: ReadonlyArray<Message>): ReadonlyArray<EngineMessage> => {
  const open: Array<EngineToolCall> = []
  const answered = (id: string | null | undefined, name: string | null | undefined) => {
    const byId = open.findIndex((call) => call.id === id)
    const found = byId === -1 ? open.findIndex((call) => call.function.name === name) : byId
    const [call] = open.splice(Math.max(0, found), 1)
    return call?.id ?? id ?? ""
  }
  return messages.map(({ content, role, tool_call_id, tool_calls, tool_name }, turn): EngineMessage => {
    const text = content ?? ""
    if (role === "developer") return { role: "system", content: text }
    if (role === "tool") return { role, content: text, tool_call_id: answered(tool_call_id, tool_name) }
    if (tool_calls === undefined || tool_calls === null || tool_calls.length === 0)
      return { role, content: text }
    const calls = tool_calls.map(({ function: called, id }, index): EngineToolCall => ({
      id: id || `call_${turn}_${index}`,
      type: "function",
      function: { name: called.name, arguments: JSON.stringify(called.arguments ?? {}) }
    }))
    open.push(...calls)
    return { role, content: text === "" ? null : text, tool_calls: calls }
  })
}

/** The tools as the engines want them. */
export const toTools = (tools: ReadonlyArray<typeof Tool.Type> | null | undefined): Body =>
  tools === undefined || tools === null || tools.length === 0
    ? {}
    : {
        tools: tools.map(({ function: { description, name, parameters } }) =>
          engineTool(name, description, parameters)
        )
      }

/** Whether there is something in a field. */
export const says = (value: unknown) =>
  value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0)
