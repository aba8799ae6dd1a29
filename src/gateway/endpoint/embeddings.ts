import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Body } from "./Endpoint.ts"

const Part = Schema.fromJsonString(
  Schema.Struct({
    model: Schema.optionalKey(Schema.String),
    data: Schema.Array(
      Schema.Struct({
        index: Schema.Int,
        embedding: Schema.Union([Schema.String, Schema.Array(Schema.Finite)])
      })
    ),
    usage: Schema.optionalKey(Schema.Struct({ prompt_tokens: Schema.optionalKey(Schema.Finite) }))
  })
)
const readPart = Schema.decodeUnknownOption(Part)

type Vector = string | ReadonlyArray<number>

const floatBytes = 4

const toFloats = (vector: Vector) => {
  if (typeof vector !== "string") return vector
  const bytes = Buffer.from(vector, "base64")
  return Array.from({ length: bytes.length / floatBytes }, (_, index) =>
    bytes.readFloatLE(index * floatBytes)
  )
}

const toBase64 = (vector: Vector) =>
  typeof vector === "string" ? vector : Buffer.from(Float32Array.from(vector).buffer).toString("base64")

/**
 * Merges the documents of a divided list of inputs, in the encoding of the request. Returns undefined if a part is invalid.
 */
export const mergeEmbeddings = (parts: ReadonlyArray<string>, { encoding_format }: Body) => {
  const encode = encoding_format === "base64" ? toBase64 : toFloats
  const vectors = new Map<number, Vector>()
  let model: string | undefined
  let tokens = 0
  for (const part of parts) {
    const read = Option.getOrUndefined(readPart(part))
    if (read === undefined) return undefined
    model = read.model ?? model
    tokens += read.usage?.prompt_tokens ?? 0
    for (const { embedding, index } of read.data) vectors.set(index, embedding)
  }
  const data = [...vectors]
    .sort(([left], [right]) => left - right)
    .map(([index, vector]) => ({ object: "embedding", index, embedding: encode(vector) }))
  const usage = { prompt_tokens: tokens, total_tokens: tokens }
  return JSON.stringify({ object: "list", model, data, usage })
}
