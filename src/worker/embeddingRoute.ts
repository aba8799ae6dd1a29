import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { RouteServices } from "./generationRoutes.ts"
import { inputsOf } from "./prompts.ts"
import { readEmbedding } from "./RequestBody.ts"
import { openRequest } from "./Requests.ts"
import { checkModel, withEngine } from "./Served.ts"

/** Encodes a vector as base64 of its 32-bit floats. */
export const base64Of = (vector: ReadonlyArray<number>) =>
  Buffer.from(Float32Array.from(vector).buffer).toString("base64")

/** `POST /v1/embeddings`. */
export const embeddingRoute = ({ requests, served }: RouteServices) =>
  withEngine(served, (engine) =>
    Effect.gen(function* () {
      const request = yield* readEmbedding
      yield* checkModel(served, request.model)
      const { id, signal } = yield* openRequest(requests)
      const options = { dimensions: request.dimensions ?? undefined, truncate: request.truncate === true }
      const { tokens, vectors } = yield* engine
        .embed(inputsOf(request.input), options, signal)
        .pipe(Effect.ensuring(requests.close(id)))
      const isBase64 = request.encoding_format === "base64"
      return HttpServerResponse.jsonUnsafe({
        object: "list",
        model: served.modelId,
        data: vectors.map((vector, index) => ({
          object: "embedding",
          index,
          embedding: isBase64 ? base64Of(vector) : vector
        })),
        usage: { prompt_tokens: tokens, total_tokens: tokens }
      })
    })
  )
