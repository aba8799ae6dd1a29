import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ApplicationAccess } from "../../daemon/Access.ts"
import { described, errorsOf, jsonLines, open } from "../endpoint/contract.ts"
import { CopyBody, CreateBody } from "./create.ts"
import * as Ollama from "./endpoints.ts"
import { ChatRequest, EmbedRequest, GenerateRequest, NamedBody, OldEmbeddingRequest } from "./request.ts"

const OllamaError = open({ error: Schema.String })

const error = errorsOf(OllamaError)

const Vector = Schema.Array(Schema.Finite)
const Success = Schema.Struct({ status: Schema.String })
const head = { model: Schema.String, created_at: Schema.String, done: Schema.Boolean }
const Models = Schema.Struct({ models: Schema.Array(open({ name: Schema.String, model: Schema.String })) })
const Nothing = HttpApiSchema.Empty(200)

const OllamaGroup = HttpApiGroup.make("ollama")
  .add(
    HttpApiEndpoint.post("chat", Ollama.chatEndpoint.path, {
      payload: ChatRequest,
      success: [open({ ...head, message: open({ content: Schema.String }) }), jsonLines],
      error
    }).annotateMerge(described("Answer a conversation", "A stream of lines, unless 'stream' is false.")),
    HttpApiEndpoint.post("generate", Ollama.generateEndpoint.path, {
      payload: GenerateRequest,
      success: [open({ ...head, response: Schema.String }), jsonLines],
      error
    }).annotateMerge(described("Continue a text", "A stream of lines, unless 'stream' is false.")),
    HttpApiEndpoint.post("embed", Ollama.embedEndpoint.path, {
      payload: EmbedRequest,
      success: open({ model: Schema.String, embeddings: Schema.Array(Vector) }),
      error
    }).annotateMerge(described("Embed texts")),
    HttpApiEndpoint.post("embeddings", Ollama.oldEmbeddingsEndpoint.path, {
      payload: OldEmbeddingRequest,
      success: Schema.Struct({ embedding: Vector }),
      error
    }).annotateMerge(described("Embed a text (older API)")),
    HttpApiEndpoint.get("tags", "/api/tags", { success: Models, error }).annotateMerge(
      described("The models that the sender may use")
    ),
    HttpApiEndpoint.get("ps", "/api/ps", { success: Models, error }).annotateMerge(
      described("The models that are loaded")
    ),
    HttpApiEndpoint.get("version", "/api/version", {
      success: Schema.Struct({ version: Schema.String }),
      error
    }).annotateMerge(described("The version of Ollama whose API this is")),
    HttpApiEndpoint.post("show", "/api/show", {
      payload: NamedBody,
      success: open({ details: Schema.Unknown }),
      error
    }).annotateMerge(described("One model")),
    HttpApiEndpoint.post("pull", "/api/pull", {
      payload: NamedBody,
      success: [Success, jsonLines],
      error
    }).annotateMerge(described("Download a model", "Rejects API keys.")),
    HttpApiEndpoint.post("create", "/api/create", {
      payload: CreateBody,
      success: [Success, jsonLines],
      error
    }).annotateMerge(described("Create a model from another one", "Rejects API keys.")),
    HttpApiEndpoint.post("copy", "/api/copy", {
      payload: CopyBody,
      success: Nothing,
      error
    }).annotateMerge(described("Copy a model", "Rejects API keys.")),
    HttpApiEndpoint.delete("delete", "/api/delete", {
      payload: NamedBody,
      success: Nothing,
      error
    }).annotateMerge(described("Delete a model", "Rejects API keys.")),
    HttpApiEndpoint.post("push", "/api/push", {
      payload: NamedBody,
      success: Success,
      error: [...error, OllamaError.annotate({ httpApiStatus: 501 })]
    }).annotateMerge(described("Not implemented: models are not uploaded to a registry"))
  )
  .middleware(ApplicationAccess)
  .annotateMerge(OpenApi.annotations({ title: "Ollama" }))

/** The endpoints of Ollama's API. */
export const OllamaApi = HttpApi.make("rbee").add(OllamaGroup)
