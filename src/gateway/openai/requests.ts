import * as Schema from "effect/Schema"
import { optional } from "../endpoint/reading.ts"

/** The name of a model, as `GET /v1/models` lists it. */
export const ModelName = Schema.NonEmptyString

/** The fields that select a streamed answer. */
export const Streaming = Schema.Struct({
  stream: optional(Schema.Boolean),
  stream_options: optional(Schema.Struct({ include_usage: optional(Schema.Boolean) }))
})

// The engine validates all other fields.
const others = [Schema.Record(Schema.String, Schema.Unknown)] as const

/** The body of `/v1/chat/completions`. */
export const ChatRequest = Schema.StructWithRest(
  Schema.Struct({
    model: ModelName,
    ...Streaming.fields,
    messages: Schema.Array(
      Schema.StructWithRest(
        Schema.Struct({
          role: Schema.Literals(["system", "developer", "user", "assistant", "tool", "function"]),
          content: optional(Schema.Union([Schema.String, Schema.Array(Schema.Unknown)]))
        }),
        others
      )
    ),
    max_tokens: optional(Schema.Int),
    temperature: optional(Schema.Finite),
    top_p: optional(Schema.Finite),
    tools: optional(Schema.Array(Schema.Unknown))
  }),
  others
)

/** The body of `/v1/completions`. */
export const CompletionRequest = Schema.StructWithRest(
  Schema.Struct({
    model: ModelName,
    ...Streaming.fields,
    prompt: Schema.Union([Schema.String, Schema.Array(Schema.Unknown)]),
    max_tokens: optional(Schema.Int),
    temperature: optional(Schema.Finite),
    top_p: optional(Schema.Finite)
  }),
  others
)

/** The body of `/v1/embeddings`. */
export const EmbeddingsRequest = Schema.StructWithRest(
  Schema.Struct({
    model: ModelName,
    input: Schema.Union([Schema.String, Schema.Array(Schema.Unknown)]),
    encoding_format: optional(Schema.Literals(["float", "base64"]))
  }),
  others
)
