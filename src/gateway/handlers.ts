import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import { AnthropicApi } from "./anthropic/api.ts"
import { countTokensEndpoint, messagesEndpoint } from "./anthropic/messages.ts"
import { EndpointRunner } from "./endpoint/EndpointRunner.ts"
import { ModelResponses } from "./ModelResponses.ts"
import { OpenAiApi } from "./openai/api.ts"
import { chatEndpoint, completionsEndpoint, embeddingsEndpoint } from "./openai/completions.ts"
import { responsesEndpoint } from "./openai/responses.ts"

/** The handlers of OpenAI's API. */
export const openAiHandlers = HttpApiBuilder.group(
  OpenAiApi,
  "openai",
  Effect.fn(function* (handlers) {
    const runner = yield* EndpointRunner
    const models = yield* ModelResponses
    return handlers
      .handleRaw("chatCompletions", () => runner.answer(chatEndpoint))
      .handleRaw("completions", () => runner.answer(completionsEndpoint))
      .handleRaw("embeddings", () => runner.answer(embeddingsEndpoint))
      .handleRaw("responses", () => runner.answer(responsesEndpoint))
      .handleRaw("models", ({ headers }) => models.all(headers))
      .handleRaw("model", ({ headers, params: { model } }) =>
        Effect.flatMap(HttpRouter.params, ({ "*": rest = "" }) =>
          models.one(headers, rest === "" ? model : `${model}/${rest}`)
        )
      )
  })
).pipe(Layer.provide(ModelResponses.layerNoDeps))

/** The handlers of Anthropic's API. */
export const anthropicHandlers = HttpApiBuilder.group(
  AnthropicApi,
  "anthropic",
  Effect.fn(function* (handlers) {
    const runner = yield* EndpointRunner
    return handlers
      .handleRaw("messages", () => runner.answer(messagesEndpoint))
      .handleRaw("countTokens", () => runner.answer(countTokensEndpoint))
  })
)
