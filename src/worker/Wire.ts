import * as Schema from "effect/Schema"

const optional = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const between = (minimum: number, maximum: number) =>
  Schema.Finite.check(Schema.isBetween({ minimum, maximum }))

const wholeUpTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

// Clients send 64-bit seeds, which may exceed the safe integers.
const WholeNumber = Schema.Finite.check(
  Schema.makeFilter((value) => Number.isInteger(value) || "Expected an integer")
)

const SafeText = Schema.String.check(
  // oxlint-disable-next-line no-control-regex -- the check rejects NUL
  Schema.isPattern(/^[^\u0000]*$/, { expected: "a text without NUL characters" })
)

const maxStops = 64

const Stop = Schema.Union([
  Schema.String,
  Schema.Array(Schema.NullOr(Schema.String)).check(Schema.isMaxLength(maxStops))
])

const JsonSchema = Schema.Record(Schema.String, Schema.Unknown)

const ResponseFormat = Schema.Struct({
  type: Schema.Literals(["text", "json_object", "json_schema"]),
  json_schema: optional(
    Schema.Struct({ name: optional(Schema.String), schema: JsonSchema, strict: optional(Schema.Boolean) })
  ),
  /** The same, as llama-server's clients send it. */
  schema: optional(JsonSchema)
})

const maxChoices = 8

const sampling = {
  model: optional(Schema.String),
  /** Below 0: limited by the context only. */
  max_tokens: optional(WholeNumber),
  temperature: optional(between(0, 100)),
  top_p: optional(between(0, 1)),
  /** Below 1: all. */
  top_k: optional(WholeNumber),
  min_p: optional(between(0, 1)),
  /** Below 0: random. */
  seed: optional(WholeNumber),
  presence_penalty: optional(between(-2, 2)),
  frequency_penalty: optional(between(-2, 2)),
  repeat_penalty: optional(between(0.01, 100)),
  /** The same, as vLLM calls it. */
  repetition_penalty: optional(between(0.01, 100)),
  /** The number of last tokens that the penalties apply to; below 0: the context length. */
  repeat_last_n: optional(WholeNumber),
  stop: optional(Stop),
  n: optional(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxChoices }))),
  response_format: optional(ResponseFormat),
  stream: optional(Schema.Boolean),
  stream_options: optional(Schema.Struct({ include_usage: optional(Schema.Boolean) })),
  tool_choice: optional(Schema.Unknown)
}

const TokenIds = Schema.Array(wholeUpTo(4_294_967_295))

const maxPrompts = 2048

const Prompts = Schema.Array(Schema.Union([SafeText, TokenIds])).check(
  Schema.isMinLength(1),
  Schema.isMaxLength(maxPrompts)
)

/** The body of `/v1/completions`, as OpenAI defines it, with llama.cpp's sampling fields. */
export const CompletionRequest = Schema.Struct({
  ...sampling,
  prompt: Schema.Union([SafeText, TokenIds.check(Schema.isMinLength(1)), Prompts]),
  logprobs: optional(Schema.Union([Schema.Boolean, wholeUpTo(5)])),
  /** Rejects a prompt that does not fit the context together with `max_tokens`; by default `max_tokens` is reduced. */
  exact_max_tokens: optional(Schema.Boolean)
})
export type CompletionRequest = typeof CompletionRequest.Type

const TextPart = Schema.Struct({ type: Schema.Literal("text"), text: SafeText })

const ToolCall = Schema.Struct({
  id: optional(SafeText),
  type: optional(Schema.String),
  function: Schema.Struct({
    name: SafeText,
    /** JSON text in OpenAI's API, an object in Ollama's. */
    arguments: optional(Schema.Union([SafeText, Schema.Record(Schema.String, Schema.Json)]))
  })
})
export type ToolCall = typeof ToolCall.Type

const Content = Schema.Union([SafeText, Schema.Array(TextPart).check(Schema.isMaxLength(1024))])

const Message = Schema.Struct({
  role: Schema.Literals(["system", "developer", "user", "assistant", "tool"]),
  /** Absent or null in a message with tool calls, or in an empty assistant message. */
  content: optional(Content),
  tool_calls: optional(Schema.Array(ToolCall).check(Schema.isMaxLength(256))),
  tool_call_id: optional(SafeText),
  name: optional(SafeText)
}).check(
  Schema.makeFilter(({ content, role, tool_calls }) => {
    const hasContent = content !== undefined && content !== null
    return (
      hasContent ||
      role === "assistant" ||
      (tool_calls?.length ?? 0) > 0 || {
        path: ["content"],
        issue: "Expected a string or a list of text parts; only a message of the assistant may be without"
      }
    )
  })
)
export type Message = typeof Message.Type

/** The body of `/v1/chat/completions`, as OpenAI defines it, for text only. */
export const ChatRequest = Schema.Struct({
  ...sampling,
  max_completion_tokens: optional(WholeNumber),
  /** Continues the last message, which must be the assistant's, instead of answering it; vLLM's field. */
  continue_final_message: optional(Schema.Boolean),
  logprobs: optional(Schema.Boolean),
  top_logprobs: optional(wholeUpTo(20)),
  messages: Schema.Array(Message).check(Schema.isMinLength(1), Schema.isMaxLength(4096))
})
export type ChatRequest = typeof ChatRequest.Type

const maxInputs = 65_536

/** The body of `/v1/embeddings`, as OpenAI defines it. */
export const EmbeddingRequest = Schema.Struct({
  model: optional(Schema.String),
  input: Schema.Union([
    SafeText,
    TokenIds.check(Schema.isMinLength(1)),
    Schema.Array(Schema.Union([SafeText, TokenIds])).check(
      Schema.isMinLength(1),
      Schema.isMaxLength(maxInputs)
    )
  ]),
  encoding_format: optional(Schema.Literals(["float", "base64"])),
  /** Truncates each vector to this many dimensions and normalizes it to unit length. */
  dimensions: optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  /** Truncates an input that exceeds the context length; by default it is rejected. */
  truncate: optional(Schema.Boolean)
})
export type EmbeddingRequest = typeof EmbeddingRequest.Type

type Fields = { readonly [field: string]: unknown }

const isOne = (value: unknown) => value === 1

const isEmptyValue = (value: unknown) =>
  value === undefined ||
  value === null ||
  value === false ||
  value === "" ||
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === "object" && Object.keys(value).length === 0)

const disablesTools = (choice: string) => (value: unknown, body: Fields) =>
  isEmptyValue(value) || body[choice] === "none"

const unsupported: { readonly [field: string]: (value: unknown, body: Fields) => boolean } = {
  best_of: (value, { n }) => isOne(value) || value === (n ?? 1),
  echo: isEmptyValue,
  suffix: isEmptyValue,
  logit_bias: isEmptyValue,
  tools: disablesTools("tool_choice"),
  functions: disablesTools("function_call"),
  audio: isEmptyValue
}

/** The first field with an unsupported value. Ignoring such a field would change the meaning of the answer. */
export const unsupportedField = (body: Fields) =>
  Object.keys(unsupported).find(
    (field) => !isEmptyValue(body[field]) && unsupported[field]?.(body[field], body) === false
  )
