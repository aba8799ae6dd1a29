import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type EndpointOptions, QueenEndpoint } from "./QueenEndpoint.ts"

/** Which model embeds texts, and where. */
export interface EmbeddingModelOptions extends EndpointOptions {
  /** A model's id or an alias, as `/v1/models` lists it. */
  readonly model: string
}

const Embeddings = Schema.Struct({
  data: Schema.Array(
    Schema.Struct({ index: Schema.Int, embedding: Schema.mutable(Schema.Array(Schema.Finite)) })
  ),
  usage: Schema.optionalKey(Schema.NullOr(Schema.Struct({ prompt_tokens: Schema.Int })))
})

/** Makes an embedding model of the fleet. Texts that are embedded at the same time are sent as one request. */
export const make = Effect.fn("RbeeEmbeddingModel.make")(function* (options: EmbeddingModelOptions) {
  const endpoint = new QueenEndpoint(yield* HttpClient.HttpClient, "RbeeEmbeddingModel", options)
  return yield* EmbeddingModel.make({
    embedMany: ({ inputs }) =>
      endpoint.json("embedMany", "/v1/embeddings", { model: options.model, input: inputs }, Embeddings).pipe(
        Effect.map(({ data, usage }) => ({
          results: data.toSorted((left, right) => left.index - right.index).map(({ embedding }) => embedding),
          usage: { inputTokens: usage?.prompt_tokens }
        }))
      )
  })
})

/** An `EmbeddingModel` of the fleet behind a queen's address; needs an `HttpClient`. */
export const layer = (
  options: EmbeddingModelOptions
): Layer.Layer<EmbeddingModel.EmbeddingModel, never, HttpClient.HttpClient> =>
  Layer.effect(EmbeddingModel.EmbeddingModel, make(options))
