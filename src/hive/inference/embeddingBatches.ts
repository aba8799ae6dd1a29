import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { Complete } from "../../operation/inferenceOperations.ts"

type Body = Complete["body"]

/** A part of an embeddings request, and the number of inputs before it. */
export interface EmbeddingBatch {
  readonly offset: number
  readonly body: Body
}

// Vectors of 4,096 numbers make an answer of 1.4 MB, far below limits.line_bytes.
const batchInputs = 64

/**
 * Divides a long list of inputs, so that no answer of an engine is too long for a line, or too much for the engine at
 * once. The vectors of a divided request are requested in base64, which is a quarter as long.
 */
export const embeddingBatches = (body: Body): ReadonlyArray<EmbeddingBatch> => {
  const inputs: unknown = body["input"]
  if (!Array.isArray(inputs) || inputs.length <= batchInputs || typeof inputs[0] === "number") {
    return [{ offset: 0, body }]
  }
  return Array.from({ length: Math.ceil(inputs.length / batchInputs) }, (_, number) => {
    const offset = number * batchInputs
    const input = inputs.slice(offset, offset + batchInputs)
    return { offset, body: { ...body, input, encoding_format: "base64" } }
  })
}

/** The answer to a batch, with the indexes that its vectors have in the complete request. */
export const withOffset = (document: string, offset: number) => {
  const parsed = Result.try((): unknown => JSON.parse(document))
  if (Result.isFailure(parsed) || !Predicate.isReadonlyObject(parsed.success)) return document
  const { data } = parsed.success
  if (!Array.isArray(data)) return document
  const moved = data.map((item: unknown, index) =>
    Predicate.isReadonlyObject(item) ? Object.assign({}, item, { index: offset + index }) : item
  )
  return JSON.stringify({ ...parsed.success, data: moved })
}
