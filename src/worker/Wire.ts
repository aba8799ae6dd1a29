import * as Schema from "effect/Schema"

const optional = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const between = (minimum: number, maximum: number) =>
  Schema.Finite.check(Schema.isBetween({ minimum, maximum }))

const wholeUpTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

const uint32 = 4_294_967_295

const SafeText = Schema.String.check(
  // oxlint-disable-next-line no-control-regex -- NUL is what it keeps out
  Schema.isPattern(/^[^\u0000]*$/, { expected: "a text without NUL characters" })
)

const Stop = Schema.Union([
  Schema.NonEmptyString,
  Schema.Array(Schema.NonEmptyString).check(Schema.isMaxLength(16))
])

const ResponseFormat = Schema.Struct({
  type: Schema.Literals(["text", "json_object", "json_schema"]),
  json_schema: optional(
    Schema.Struct({
      name: Schema.NonEmptyString,
      schema: Schema.Record(Schema.String, Schema.Unknown),
      strict: optional(Schema.Boolean)
    })
  )
})

const sampling = {
  model: optional(Schema.String),
  max_tokens: optional(wholeUpTo(uint32)),
  temperature: optional(between(0, 100)),
  top_p: optional(between(0, 1)),
  top_k: optional(wholeUpTo(uint32)),
  min_p: optional(between(0, 1)),
  seed: optional(wholeUpTo(uint32)),
  presence_penalty: optional(between(-2, 2)),
  frequency_penalty: optional(between(-2, 2)),
  stop: optional(Stop),
  n: optional(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 8 }))),
  response_format: optional(ResponseFormat),
  stream: optional(Schema.Boolean),
  stream_options: optional(Schema.Struct({ include_usage: optional(Schema.Boolean) }))
}

/** The body of `/v1/completions`, as OpenAI defines it, with `top_k` and `min_p`. */
export const CompletionRequest = Schema.Struct({
  ...sampling,
  prompt: SafeText,
  logprobs: optional(wholeUpTo(5))
})
export type CompletionRequest = typeof CompletionRequest.Type

const TextPart = Schema.Struct({ type: Schema.Literal("text"), text: SafeText })

const Message = Schema.Struct({
  role: Schema.Literals(["system", "developer", "user", "assistant"]),
  content: Schema.Union([SafeText, Schema.Array(TextPart).check(Schema.isMaxLength(1024))])
})

/** The body of `/v1/chat/completions`, as OpenAI defines it, for text. */
export const ChatRequest = Schema.Struct({
  ...sampling,
  max_completion_tokens: optional(wholeUpTo(uint32)),
  /** Goes on in the last message, which is the assistant's, instead of answering it: the words of vLLM. */
  continue_final_message: optional(Schema.Boolean),
  logprobs: optional(Schema.Boolean),
  top_logprobs: optional(wholeUpTo(20)),
  messages: Schema.Array(Message).check(Schema.isMinLength(1), Schema.isMaxLength(4096))
})
export type ChatRequest = typeof ChatRequest.Type

/** The body of `/v1/embeddings`, as OpenAI defines it. */
export const EmbeddingRequest = Schema.Struct({
  model: optional(Schema.String),
  input: Schema.Union([
    SafeText,
    Schema.Array(SafeText).check(Schema.isMinLength(1), Schema.isMaxLength(256))
  ]),
  encoding_format: optional(Schema.Literals(["float", "base64"]))
})

const isOne = (value: unknown) => value === 1

const meansNothing = (value: unknown) =>
  value === undefined ||
  value === null ||
  value === false ||
  value === "" ||
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === "object" && Object.keys(value).length === 0)

const unsupported: { readonly [field: string]: (value: unknown) => boolean } = {
  best_of: isOne,
  echo: meansNothing,
  suffix: meansNothing,
  logit_bias: meansNothing,
  tools: meansNothing,
  functions: meansNothing,
  audio: meansNothing,
  dimensions: meansNothing
}

/** The first field that asks for what this worker cannot do. To pass over it would change what the answer means. */
export const unsupportedField = (body: { readonly [field: string]: unknown }) =>
  Object.keys(unsupported).find(
    (field) => !meansNothing(body[field]) && unsupported[field]?.(body[field]) === false
  )
