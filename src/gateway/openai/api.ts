import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ApplicationAccess } from "../../daemon/Access.ts"
import { described, errorsOf, eventStream, open } from "../endpoint/contract.ts"
import { chatEndpoint, completionsEndpoint, embeddingsEndpoint } from "./completions.ts"
import { ChatRequest, CompletionRequest, EmbeddingsRequest } from "./requests.ts"
import { responsesEndpoint } from "./responses.ts"
import { ResponsesRequest } from "./responsesRequest.ts"

const OpenAiError = Schema.Struct({
  error: Schema.Struct({
    message: Schema.String,
    type: Schema.String,
    param: Schema.NullOr(Schema.String),
    code: Schema.NullOr(Schema.String)
  })
})

const error = errorsOf(OpenAiError)

const Usage = open({ prompt_tokens: Schema.Int, total_tokens: Schema.optionalKey(Schema.Int) })

const head = { id: Schema.String, object: Schema.String, created: Schema.Int, model: Schema.String }

const ChatCompletion = Schema.Struct({
  ...head,
  choices: Schema.Array(
    Schema.Struct({
      index: Schema.Int,
      message: open({ role: Schema.Literal("assistant"), content: Schema.NullOr(Schema.String) }),
      logprobs: Schema.Unknown,
      finish_reason: Schema.String
    })
  ),
  usage: Schema.optionalKey(Usage)
})

const Completion = Schema.Struct({
  ...head,
  choices: Schema.Array(
    Schema.Struct({
      index: Schema.Int,
      text: Schema.String,
      logprobs: Schema.Unknown,
      finish_reason: Schema.String
    })
  ),
  usage: Schema.optionalKey(Usage)
})

const Embeddings = open({
  object: Schema.String,
  data: Schema.Array(
    Schema.Struct({
      object: Schema.String,
      index: Schema.Int,
      embedding: Schema.Union([Schema.Array(Schema.Finite), Schema.String])
    })
  ),
  model: Schema.optionalKey(Schema.String),
  usage: Schema.optionalKey(Usage)
})

const Response = open({
  id: Schema.String,
  object: Schema.Literal("response"),
  created_at: Schema.Int,
  model: Schema.String,
  status: Schema.String,
  output: Schema.Array(open({ type: Schema.String }))
})

const Model = open({ id: Schema.String })

/** Anthropic clients send `anthropic-version` and get the models in Anthropic's format. */
const modelHeaders = { "anthropic-version": Schema.optionalKey(Schema.String) }

/** The path of the list of models. */
export const modelsPath = "/v1/models"

/** The path of one model. */
export const modelPath = `${modelsPath}/:model/*`

const OpenAiGroup = HttpApiGroup.make("openai")
  .add(
    HttpApiEndpoint.post("chatCompletions", chatEndpoint.path, {
      payload: ChatRequest,
      success: [ChatCompletion, eventStream],
      error
    }).annotateMerge(
      described("Answer a conversation", "Other fields are passed to the engine, which validates them.")
    ),
    HttpApiEndpoint.post("completions", completionsEndpoint.path, {
      payload: CompletionRequest,
      success: [Completion, eventStream],
      error
    }).annotateMerge(
      described("Continue a text", "Other fields are passed to the engine, which validates them.")
    ),
    HttpApiEndpoint.post("embeddings", embeddingsEndpoint.path, {
      payload: EmbeddingsRequest,
      success: Embeddings,
      error
    }).annotateMerge(described("Embed texts")),
    HttpApiEndpoint.post("responses", responsesEndpoint.path, {
      payload: ResponsesRequest,
      success: [Response, eventStream],
      error
    }).annotateMerge(described("Answer a conversation (newer API)")),
    HttpApiEndpoint.get("models", modelsPath, {
      headers: modelHeaders,
      success: open({ data: Schema.Array(Model) }),
      error
    }).annotateMerge(described("The models that the sender may use")),
    // Model names may contain slashes; the wildcard matches the rest of the name.
    HttpApiEndpoint.get("model", modelPath, {
      headers: modelHeaders,
      params: { model: Schema.String },
      success: Model,
      error
    }).annotateMerge(described("One model"))
  )
  .middleware(ApplicationAccess)
  .annotateMerge(OpenApi.annotations({ title: "OpenAI" }))

/** The endpoints of OpenAI's API. */
export const OpenAiApi = HttpApi.make("rbee").add(OpenAiGroup)
