import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { chatRequest, invalidRequest } from "./chatRequest.ts"
import { Completion, CompletionChunk, partsOf, StreamedAnswer } from "./chatResponse.ts"
import { type EndpointOptions, QueenEndpoint } from "./QueenEndpoint.ts"

/** Which model answers, and where. */
export interface LanguageModelOptions extends EndpointOptions {
  /** A model's id or an alias, as `/v1/models` lists it. */
  readonly model: string
  /** Further fields of the request in OpenAI's words, such as `temperature`, `max_tokens`, `top_p`, `seed`. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined
}

const moduleName = "RbeeLanguageModel"
const path = "/v1/chat/completions"
const readChunk = Schema.decodeUnknownEffect(CompletionChunk)

const bodyOf = (method: string, options: LanguageModelOptions, request: LanguageModel.ProviderOptions) =>
  Effect.try({
    try: () => chatRequest(options.model, options.parameters ?? {}, request),
    catch: (error) => AiError.make({ module: moduleName, method, reason: invalidRequest(error) })
  })

/**
 * Makes a language model of the fleet: text, streams, structured output and tools, as far as the model's engine has
 * them. A request that no engine can serve fails with `InvalidRequestError`, which says what is missing; a queue that is
 * full, or a hive that is away, with `RateLimitError`, which is retryable.
 */
export const make = Effect.fn("RbeeLanguageModel.make")(function* (options: LanguageModelOptions) {
  const endpoint = new QueenEndpoint(yield* HttpClient.HttpClient, moduleName, options)
  const streamed = (body: object) =>
    Stream.suspend(() => {
      const answer = new StreamedAnswer()
      return endpoint
        .events("streamText", path, { ...body, stream: true, stream_options: { include_usage: true } })
        .pipe(
          Stream.mapEffect((data) =>
            readChunk(data).pipe(
              Effect.mapError((error) =>
                AiError.make({
                  module: moduleName,
                  method: "streamText",
                  reason: AiError.InvalidResponseError.fromSchemaError(error)
                })
              ),
              Effect.flatMap((chunk) =>
                chunk.error === undefined
                  ? Effect.succeed(answer.chunk(chunk))
                  : Effect.fail(endpoint.reported("streamText", chunk.error.message))
              )
            )
          ),
          Stream.concat(Stream.sync(() => answer.end())),
          Stream.flattenIterable
        )
    })
  return yield* LanguageModel.make({
    generateText: (request) =>
      bodyOf("generateText", options, request).pipe(
        Effect.flatMap((body) => endpoint.json("generateText", path, body, Completion)),
        Effect.map(partsOf)
      ),
    streamText: (request) => Stream.unwrap(Effect.map(bodyOf("streamText", options, request), streamed))
  })
})

/** A `LanguageModel` of the fleet behind a queen's address; needs an `HttpClient`. */
export const layer = (
  options: LanguageModelOptions
): Layer.Layer<LanguageModel.LanguageModel, never, HttpClient.HttpClient> =>
  Layer.effect(LanguageModel.LanguageModel, make(options))

/** The same as a `Model`, which also provides the name of the provider and of the model. */
export const model = (options: LanguageModelOptions) => Model.make("rbee", options.model, layer(options))
