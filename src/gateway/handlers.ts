import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { Caller } from "../daemon/Caller.ts"
import { AnthropicApi } from "./anthropic/api.ts"
import { anthropicFormat } from "./anthropic/format.ts"
import { countTokensEndpoint, messagesEndpoint } from "./anthropic/messages.ts"
import { anthropicModel, anthropicModels } from "./anthropic/models.ts"
import { refuse } from "./endpoint/errorResponses.ts"
import { fromError } from "./endpoint/failures.ts"
import { makeAnswering } from "./endpoint/respond.ts"
import { withoutHiddenModels, mayUse, ModelForbidden } from "./keys/KeyLimits.ts"
import { OpenAiApi } from "./openai/api.ts"
import { chatEndpoint, completionsEndpoint, embeddingsEndpoint } from "./openai/completions.ts"
import { openAiFormat } from "./openai/format.ts"
import { openAiModel, openAiModels } from "./openai/models.ts"
import { responsesEndpoint } from "./openai/responses.ts"
import { Upstream } from "./upstream/Upstream.ts"

/** The request headers that select the format of the models. */
interface ModelHeaders {
  readonly "anthropic-version"?: string | undefined
}

const isAnthropic = (headers: ModelHeaders) => headers["anthropic-version"] !== undefined

const makeModels = Effect.map(Upstream, (upstream) => {
  const all = Effect.fnUntraced(function* (headers: ModelHeaders) {
    const { key } = yield* Caller
    const models = (yield* upstream.models).filter((model) => mayUse(key, model))
    return HttpServerResponse.jsonUnsafe(
      isAnthropic(headers) ? anthropicModels(models) : openAiModels(models)
    )
  })
  const find = Effect.fnUntraced(function* (name: string) {
    const { key } = yield* Caller
    const model = yield* upstream.find(name).pipe(Effect.mapError((error) => withoutHiddenModels(key, error)))
    if (!mayUse(key, model)) return yield* new ModelForbidden({ key: key?.name ?? "", model: name })
    return model
  })
  const one = (headers: ModelHeaders, name: string) =>
    Effect.match(find(name), {
      onSuccess: (model) =>
        HttpServerResponse.jsonUnsafe(isAnthropic(headers) ? anthropicModel(model) : openAiModel(model)),
      onFailure: (error) => refuse(isAnthropic(headers) ? anthropicFormat : openAiFormat, fromError(error))
    })
  return { all, one }
})

/** The handlers of OpenAI's API. */
export const openAiHandlers = HttpApiBuilder.group(
  OpenAiApi,
  "openai",
  Effect.fn(function* (handlers) {
    const answer = yield* makeAnswering
    const models = yield* makeModels
    return handlers
      .handleRaw("chatCompletions", () => answer(chatEndpoint))
      .handleRaw("completions", () => answer(completionsEndpoint))
      .handleRaw("embeddings", () => answer(embeddingsEndpoint))
      .handleRaw("responses", () => answer(responsesEndpoint))
      .handleRaw("models", ({ headers }) => models.all(headers))
      .handleRaw("model", ({ headers, params: { model } }) =>
        Effect.flatMap(HttpRouter.params, ({ "*": rest = "" }) =>
          models.one(headers, rest === "" ? model : `${model}/${rest}`)
        )
      )
  })
)

/** The handlers of Anthropic's API. */
export const anthropicHandlers = HttpApiBuilder.group(
  AnthropicApi,
  "anthropic",
  Effect.fn(function* (handlers) {
    const answer = yield* makeAnswering
    return handlers
      .handleRaw("messages", () => answer(messagesEndpoint))
      .handleRaw("countTokens", () => answer(countTokensEndpoint))
  })
)
