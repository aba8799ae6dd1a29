import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import { version } from "../../system/Program.ts"
import { EndpointRunner } from "../endpoint/EndpointRunner.ts"
import { errorResponse, failureResponse } from "../endpoint/errorResponses.ts"
import { fromError, type ReportedError } from "../endpoint/failures.ts"
import { OllamaApi } from "./api.ts"
import * as Ollama from "./endpoints.ts"
import { ollamaFormat } from "./format.ts"
import { ModelChanges } from "./ModelChanges.ts"
import { ModelQueries } from "./ModelQueries.ts"

// Clients compare this with Ollama's versions to detect features; a `-` would make it a pre-release.
const versionResponse = HttpServerResponse.jsonUnsafe({ version: `0.13.4+rbee.${version}` })

const notImplemented = (reason: string) =>
  failureResponse(ollamaFormat, {
    status: 501,
    code: "NotImplemented",
    message: `Not implemented: ${reason}`
  })

/** The path to which Ollama clients upload files. */
export const blobsPath = "/api/blobs"

/** The response to file uploads. */
export const blobsMissing = () =>
  notImplemented(
    "files cannot be uploaded; pull a model, or put a GGUF file into the models folder of a hive"
  )

const withErrors = Effect.catch((error: ReportedError) => Effect.succeed(errorResponse(ollamaFormat, error)))

// A model that the registry lacks is not a 404: clients would conclude that this daemon has no pull endpoint.
const withPullErrors = Effect.catch((error: ReportedError) => {
  const failure = fromError(error)
  const status = failure.status === 404 ? 502 : failure.status
  return Effect.succeed(failureResponse(ollamaFormat, { ...failure, status }))
})

/** The handlers of Ollama's API. */
export const ollamaHandlers = HttpApiBuilder.group(
  OllamaApi,
  "ollama",
  Effect.fn(function* (handlers) {
    const runner = yield* EndpointRunner
    const queries = yield* ModelQueries
    const changes = yield* ModelChanges
    return handlers
      .handleRaw("chat", () => runner.answer(Ollama.chatEndpoint))
      .handleRaw("generate", () => runner.answer(Ollama.generateEndpoint))
      .handleRaw("embed", () => runner.answer(Ollama.embedEndpoint))
      .handleRaw("embeddings", () => runner.answer(Ollama.oldEmbeddingsEndpoint))
      .handleRaw("tags", () => Effect.map(queries.tags, (tags) => HttpServerResponse.jsonUnsafe(tags)))
      .handleRaw("version", () => Effect.succeed(versionResponse))
      .handleRaw("ps", () => Effect.map(queries.loaded, (loaded) => HttpServerResponse.jsonUnsafe(loaded)))
      .handleRaw("show", () =>
        withErrors(Effect.map(queries.show, (shown) => HttpServerResponse.jsonUnsafe(shown)))
      )
      .handleRaw("pull", () => withPullErrors(changes.pull))
      .handleRaw("delete", () => withErrors(changes.remove))
      .handleRaw("create", () => withErrors(changes.create))
      .handleRaw("copy", () => withErrors(changes.copy))
      .handleRaw("push", () => Effect.succeed(notImplemented("models cannot be uploaded to a registry")))
  })
).pipe(Layer.provide([ModelQueries.layerNoDeps, ModelChanges.layerNoDeps]))
