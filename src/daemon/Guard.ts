import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import { AccessRules } from "./Access.ts"
import { allowOrigin, isPreflight, preflightResponse, varyByOrigin } from "./crossOrigin.ts"
import { NotFound } from "./errors.ts"
import { type ApplicationPath, PublicRoutes } from "./PublicRoutes.ts"
import { errorResponse } from "./wireError.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

const isRouteNotFound = (error: unknown) =>
  HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound"

/**
 * Responds to requests that match no endpoint, subject to the access rules of the path, and adds CORS headers for allowed
 * origins to responses of application paths. The middlewares of `Access.ts` check access to the endpoints.
 */
export const guard = HttpRouter.middleware(
  Effect.gen(function* () {
    const rules = yield* AccessRules
    const routes = yield* PublicRoutes

    const missingForDaemon = (request: Request) =>
      Effect.match(rules.daemon(request), {
        onSuccess: () => errorResponse(new NotFound()),
        onFailure: errorResponse
      })

    const missingForApplications = (request: Request, path: ApplicationPath) =>
      Effect.match(path.isEndpoint ? rules.application(request) : rules.missing(request), {
        onSuccess: path.missing,
        onFailure: path.refuse
      })

    const withCors = ({ headers: { origin } }: Request) =>
      Effect.map((response: Response) => {
        const varied = rules.hasOrigins ? varyByOrigin(response) : response
        return origin !== undefined && rules.isAllowedOrigin(origin) ? allowOrigin(varied, origin) : varied
      })

    return (effect) => {
      const answerOr = (missing: Effect.Effect<Response>) =>
        Effect.catchIf(effect, isRouteNotFound, () => missing)
      return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const path = routes.applicationPath(request)
        if (path === undefined) return answerOr(missingForDaemon(request))
        if (isPreflight(request) && rules.isAllowedOrigin(request.headers["origin"])) {
          return withCors(request)(Effect.succeed(preflightResponse(request)))
        }
        return withCors(request)(answerOr(missingForApplications(request, path)))
      })
    }
  }),
  { global: true }
)
