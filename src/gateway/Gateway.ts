import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ApiKeys } from "../access/ApiKeys.ts"
import { AccessRules, ApplicationAccess } from "../daemon/Access.ts"
import { isDaemonPath, routedPath } from "../daemon/daemonPaths.ts"
import { type ApplicationPath, PublicRoutes } from "../daemon/PublicRoutes.ts"
import { Ticker } from "../job/log/Follower.ts"
import { anthropicFormat } from "./anthropic/format.ts"
import { messagesEndpoint } from "./anthropic/messages.ts"
import type { Format } from "./endpoint/Endpoint.ts"
import { EndpointRunner } from "./endpoint/EndpointRunner.ts"
import { errorResponse } from "./endpoint/errorResponses.ts"
import { missingEndpoint } from "./endpoint/missingEndpoint.ts"
import { GatewayApi } from "./GatewayApi.ts"
import { anthropicHandlers, openAiHandlers } from "./handlers.ts"
import { KeyLimits } from "./keys/KeyLimits.ts"
import { ollamaFormat } from "./ollama/format.ts"
import { blobsMissing, blobsPath, ollamaHandlers } from "./ollama/handlers.ts"
import { modelPath, modelsPath } from "./openai/api.ts"
import { openAiFormat } from "./openai/format.ts"
import { ModelFinder } from "./upstream/ModelFinder.ts"
import { OperationRunner } from "./upstream/OperationRunner.ts"
import { Unloader } from "./upstream/Unloader.ts"

const methods = new Map<string, ReadonlyArray<string>>()
for (const { endpoints } of Object.values(GatewayApi.groups)) {
  for (const { method, path } of Object.values(endpoints)) {
    methods.set(path, [...(methods.get(path) ?? []), method])
  }
}

const isBelow = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`)

/** The format of the API that a path belongs to; undefined outside the application APIs. */
const formatOf = ({ headers }: HttpServerRequest.HttpServerRequest, path: string): Format | undefined => {
  if (isBelow(path, "/api")) return ollamaFormat
  if (!isBelow(path, "/v1") || isDaemonPath(path)) return undefined
  return headers["anthropic-version"] !== undefined || isBelow(path, messagesEndpoint.path)
    ? anthropicFormat
    : openAiFormat
}

/** The methods of the endpoint at a path; undefined if there is no endpoint. */
const methodsOf = (path: string) => methods.get(path.startsWith(`${modelsPath}/`) ? modelPath : path)

const applicationPath = (request: HttpServerRequest.HttpServerRequest): ApplicationPath | undefined => {
  const path = routedPath(request.url)
  const format = formatOf(request, path)
  if (format === undefined) return undefined
  const allowed = methodsOf(path)
  // The router rejects a known path with a valid method if its id cannot be decoded: that is a 404, not a 405.
  const others = allowed === undefined || allowed.includes(request.method) ? [] : allowed
  const isBlob = isBelow(path, blobsPath)
  return {
    isEndpoint: allowed !== undefined || isBlob,
    refuse: (error) => errorResponse(format, error, error.headers),
    missing: isBlob ? blobsMissing : () => missingEndpoint(format, request.method, path, others)
  }
}

/** The public routes of a daemon with a gateway: their paths and the API keys that give access to them. Needs `ApiKeys`. */
export const publicRoutes = Layer.effect(
  PublicRoutes,
  Effect.map(ApiKeys, (keys) => ({
    applicationPath,
    find: (key: string) => Effect.map(keys.find(key), Option.getOrUndefined),
    keys: keys.presence
  }))
)

/**
 * The handlers of `GatewayApi`, for a daemon that also has other endpoints. They run each request as a job, which asks the
 * `Upstream` for the answer.
 */
export const gatewayHandlers = Layer.mergeAll(openAiHandlers, anthropicHandlers, ollamaHandlers).pipe(
  Layer.provide(EndpointRunner.layerNoDeps),
  Layer.provide([ModelFinder.layerNoDeps, Unloader.layerNoDeps]),
  Layer.provide([KeyLimits.layer, OperationRunner.layerNoDeps])
)

/**
 * The application endpoints as routes of an application's own HTTP server, with the access rules of a daemon: `Settings` has
 * the allowed hosts and origins, `Token` and `ApiKeys` who may send requests. `OperationRouter` runs the downloads and
 * deletions that Ollama's endpoints start. All other paths are left to the application, and no CORS headers are added.
 */
export const gatewayRoutes = HttpApiBuilder.layer(GatewayApi).pipe(
  Layer.provide(gatewayHandlers),
  Layer.provide(ApplicationAccess.layer),
  Layer.provide(AccessRules.layer),
  Layer.provide(publicRoutes),
  Layer.provide(Ticker.layer)
)
