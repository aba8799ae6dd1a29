import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ApiKeys } from "../access/ApiKeys.ts"
import { Caller } from "../daemon/Caller.ts"
import { isDaemonPath, routedPath } from "../daemon/daemonPaths.ts"
import { type ApplicationPath, type PublicRoute, PublicRoutes } from "../daemon/PublicRoutes.ts"
import { anthropicFormat } from "./anthropic/format.ts"
import { countTokensEndpoint, messagesEndpoint } from "./anthropic/messages.ts"
import { anthropicModel, anthropicModels } from "./anthropic/models.ts"
import type { Endpoint, Format } from "./endpoint/Endpoint.ts"
import { refuse } from "./endpoint/errorResponses.ts"
import { fromError, fromFailure } from "./endpoint/failures.ts"
import { missingEndpoint } from "./endpoint/missingEndpoint.ts"
import { makeAnswering } from "./endpoint/respond.ts"
import { withoutHiddenModels, KeyLimits, mayUse, ModelForbidden } from "./keys/KeyLimits.ts"
import * as Ollama from "./ollama/endpoints.ts"
import { ollamaFormat } from "./ollama/format.ts"
import { blobsPath, ollamaPaths, ollamaRoutes } from "./ollama/routes.ts"
import { chatEndpoint, completionsEndpoint, embeddingsEndpoint } from "./openai/completions.ts"
import { openAiFormat } from "./openai/format.ts"
import { openAiModel, openAiModels } from "./openai/models.ts"
import { responsesEndpoint } from "./openai/responses.ts"
import { ModelFinder } from "./upstream/ModelFinder.ts"
import { OperationRunner } from "./upstream/OperationRunner.ts"
import { Unloader } from "./upstream/Unloader.ts"
import { Upstream } from "./upstream/Upstream.ts"

const doors: ReadonlyArray<Endpoint> = [
  chatEndpoint,
  completionsEndpoint,
  embeddingsEndpoint,
  responsesEndpoint,
  messagesEndpoint,
  countTokensEndpoint,
  Ollama.chatEndpoint,
  Ollama.generateDoor,
  Ollama.embedDoor,
  Ollama.oldEmbeddingsDoor
]

const modelsPath = "/v1/models"

/** Anthropic's clients say so; to all others the models are OpenAI's. */
const isAnthropic = ({ headers }: HttpServerRequest.HttpServerRequest) =>
  headers["anthropic-version"] !== undefined

const paths: ReadonlyArray<PublicRoute> = [
  ...doors.map(({ format: { api }, path }) => ({ method: "post", path, api }) as const),
  { method: "get", path: modelsPath, api: openAiFormat.api },
  { method: "get", path: `${modelsPath}/{id}`, api: openAiFormat.api },
  ...ollamaPaths
]

const methods = new Map<string, ReadonlyArray<string>>()
for (const { method, path } of paths) methods.set(path, [...(methods.get(path) ?? []), method.toUpperCase()])

const formats: ReadonlyMap<string, Format> = new Map(doors.map(({ format, path }) => [path, format]))

const isBelow = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`)

/** The format of the clients that ask for a path; undefined where applications ask for nothing. */
const formatOf = (request: HttpServerRequest.HttpServerRequest, path: string): Format | undefined => {
  if (isBelow(path, "/api")) return ollamaFormat
  if (!isBelow(path, "/v1") || isDaemonPath(path)) return undefined
  const other = isAnthropic(request) || isBelow(path, messagesEndpoint.path) ? anthropicFormat : openAiFormat
  return formats.get(path) ?? other
}

/** The methods of an endpoint by its path; undefined where there is none. */
const methodsOf = (path: string) =>
  methods.get(path.startsWith(`${modelsPath}/`) ? `${modelsPath}/{id}` : path)

const applicationPath = (request: HttpServerRequest.HttpServerRequest): ApplicationPath | undefined => {
  const path = routedPath(request.url)
  const format = formatOf(request, path)
  if (format === undefined) return undefined
  const allowed = methodsOf(path)
  return {
    isEndpoint: allowed !== undefined || isBelow(path, blobsPath),
    refuse: (_status, code, message) => refuse(format, fromFailure({ code, message })),
    missing: () => missingEndpoint(format, request.method, path, allowed ?? [])
  }
}

/** Says to the guard which paths are for applications, and whose requests their keys let through. */
export const publicRoutes = Layer.effect(
  PublicRoutes,
  Effect.gen(function* () {
    const keys = yield* ApiKeys
    return {
      paths,
      applicationPath,
      find: (key: string) => Effect.map(keys.find(key), Option.getOrUndefined),
      keys: keys.presence
    }
  })
)

/** The routes for applications. */
const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const answering = yield* makeAnswering
    const upstream = yield* Upstream
    for (const door of doors) yield* router.add("POST", door.path, answering(door))

    // The route also takes the path without a name.
    const models = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const { key } = yield* Caller
      const { "*": name = "" } = yield* HttpRouter.params
      if (name === "") {
        const all = (yield* upstream.models).filter((model) => mayUse(key, model))
        return HttpServerResponse.jsonUnsafe(isAnthropic(request) ? anthropicModels(all) : openAiModels(all))
      }
      const model = yield* upstream
        .find(decodeURIComponent(name))
        .pipe(Effect.mapError((error) => withoutHiddenModels(key, error)))
      if (!mayUse(key, model)) return yield* new ModelForbidden({ key: key?.name ?? "", model: name })
      return HttpServerResponse.jsonUnsafe(isAnthropic(request) ? anthropicModel(model) : openAiModel(model))
    }).pipe(
      Effect.catch((error) =>
        Effect.map(HttpServerRequest.HttpServerRequest, (request) =>
          refuse(isAnthropic(request) ? anthropicFormat : openAiFormat, fromError(error))
        )
      )
    )
    yield* router.add("GET", `${modelsPath}/*`, models)
  })
)

/** The front doors of a daemon, over what its `Upstream` has. */
export const gatewayRoutes = Layer.merge(routes, ollamaRoutes).pipe(
  Layer.provide([ModelFinder.layerNoDeps, Unloader.layerNoDeps]),
  Layer.provide([KeyLimits.layer, OperationRunner.layerNoDeps])
)
