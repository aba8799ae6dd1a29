import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type { ApiKey } from "../access/ApiKey.ts"
import { Token } from "../access/Token.ts"
import { Settings } from "../settings/Settings.ts"
import { isLoopbackAuthority } from "../system/loopback.ts"
import { Caller } from "./Caller.ts"
import { credentialsOf } from "./credentials.ts"
import { allowOrigin, isPreflight, preflightResponse, varyByOrigin } from "./crossOrigin.ts"
import { notFound, jsonError } from "./httpErrors.ts"
import { type ApplicationPath, PublicRoutes, type ErrorWriter } from "./PublicRoutes.ts"

const openPath = "/health"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

const owner: Caller = { key: undefined }

const isRouteNotFound = (error: unknown) =>
  HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound"

const refuseForeign = (refuse: ErrorWriter, what: string, value: string) =>
  refuse(
    403,
    "Forbidden",
    `The ${what} '${value.slice(0, 200)}' is not allowed; to allow it, add it to allowed_${what.toLowerCase()}s in config.toml`
  )

const challenge = (wasGiven: boolean) =>
  HttpServerResponse.setHeader(
    "www-authenticate",
    wasGiven ? 'Bearer realm="rbee", error="invalid_token"' : 'Bearer realm="rbee"'
  )

const refuseUnknown = (refuse: ErrorWriter, wasGiven: boolean, isPublic: boolean) => {
  const wanted = isPublic
    ? "'Authorization: Bearer <key>' or x-api-key; create a key with 'rbee key create'"
    : "'Authorization: Bearer <token>' (the CLI reads RBEE_TOKEN or --token-file)"
  const problem = wasGiven
    ? `The ${isPublic ? "API key is unknown or revoked" : "token is not the token of this daemon"}: send`
    : `${isPublic ? "API key" : "Authentication"} required: send`
  return challenge(wasGiven)(refuse(401, "Unauthorized", `${problem} ${wanted}`))
}

const refuseKey = ({ name }: ApiKey) =>
  jsonError(
    403,
    "KeyForbidden",
    `API key '${name}' opens the application endpoints only; this one needs the token of the daemon`
  )

const refuseUnreadable = (refuse: ErrorWriter) =>
  refuse(
    503,
    "ApiKeysUnreadable",
    "The API keys cannot be read at the moment; the log of the daemon says why. Retry later"
  )

/** Who sent a request, as far as its credentials show. */
interface Sender {
  readonly isOwner: boolean
  readonly key: ApiKey | undefined
  readonly gaveCredential: boolean
}

const makeChecks = Effect.gen(function* () {
  const { allowedHosts, allowedOrigins, hosts } = yield* Settings.use(
    ({ allowedHosts, allowedOrigins, hive, queen }) =>
      Effect.succeed({ allowedHosts, allowedOrigins, hosts: [hive.host, queen.host] })
  )
  const token = yield* Token
  const doors = yield* PublicRoutes
  const hasToken = Option.isSome(token.own)
  const meant = new Set([...allowedHosts, ...hosts].map((host) => host.toLowerCase()))
  const origins = new Set(allowedOrigins.map((origin) => origin.replace(/\/$/, "")))

  const isMeant = (host: string) => {
    const lower = host.toLowerCase()
    return isLoopbackAuthority(host) || meant.has(lower) || meant.has(lower.replace(/:\d{1,5}$/, ""))
  }

  const isAllowedOrigin = (origin: string | undefined) => origin !== undefined && origins.has(origin)

  // A page that had its name resolve to this daemon could not know the token, nor a key.
  const checkPlace = (
    { headers: { host = "", origin } }: Request,
    refuse: ErrorWriter,
    isTrusted: boolean
  ) => {
    if (!isTrusted && !isMeant(host)) return refuseForeign(refuse, "Host", host)
    const isOwn = origin !== undefined && origin.toLowerCase() === `http://${host.toLowerCase()}`
    return origin === undefined || isOwn || isAllowedOrigin(origin)
      ? undefined
      : refuseForeign(refuse, "Origin", origin)
  }

  const senderOf = Effect.fnUntraced(function* (request: Request, looksForKey: boolean) {
    const given = credentialsOf(request)
    const gaveCredential = given.length > 0
    const isOwner = hasToken && given.some(token.accepts)
    let key: ApiKey | undefined
    if (!isOwner && looksForKey) for (const credential of given) key ??= yield* doors.find(credential)
    const sender: Sender = { isOwner, key, gaveCredential }
    return sender
  })

  /** At the endpoints of jobs and of the daemon: only the token opens them, if there is one. */
  const check = Effect.fnUntraced(function* (request: Request) {
    const sender = yield* senderOf(request, hasToken)
    const { gaveCredential, isOwner, key } = sender
    const refused = checkPlace(request, jsonError, isOwner || key !== undefined)
    if (refused !== undefined || isOwner || !hasToken) return refused ?? owner
    return key === undefined ? refuseUnknown(jsonError, gaveCredential, false) : refuseKey(key)
  })

  /** Where applications ask and no endpoint is: only the token opens it, and to a key nothing is there. */
  const checkMissing = Effect.fnUntraced(function* (request: Request, { missing, refuse }: ApplicationPath) {
    const { gaveCredential, isOwner, key } = yield* senderOf(request, true)
    const refused = checkPlace(request, refuse, isOwner || key !== undefined)
    if (refused !== undefined || isOwner || !hasToken) return refused ?? owner
    return key === undefined ? refuseUnknown(refuse, gaveCredential, true) : missing()
  })

  /** At the endpoints for applications: a key opens them as well as the token. */
  const checkPublic = Effect.fnUntraced(function* (request: Request, refuse: ErrorWriter) {
    const { gaveCredential, isOwner, key } = yield* senderOf(request, true)
    const refused = checkPlace(request, refuse, isOwner || key !== undefined)
    if (refused !== undefined) return refused
    if (isOwner) return owner
    if (key !== undefined) return { key }
    const keys = yield* doors.keys
    if (keys === "unreadable") return refuseUnreadable(refuse)
    return hasToken || keys === "some" ? refuseUnknown(refuse, gaveCredential, true) : owner
  })

  /** The sign of life is open to everybody but to web pages. */
  const checkHealth = (request: Request) => checkPlace(request, jsonError, true) ?? owner

  return {
    check,
    checkHealth,
    checkMissing,
    checkPublic,
    doors,
    hasOrigins: origins.size > 0,
    isAllowedOrigin
  }
})

/**
 * Lets a request through when it does not come from a web page, carries the token where there is one, and names a host
 * that is meant; a valid credential makes the check of the host unnecessary. `/health` needs neither credential nor host.
 * At the application endpoints a key does as well as the token. Pages of the allowed origins may read the responses there,
 * and where applications ask for what is not there.
 */
export const guard = HttpRouter.middleware(
  Effect.gen(function* () {
    const { check, checkHealth, checkMissing, checkPublic, doors, hasOrigins, isAllowedOrigin } =
      yield* makeChecks

    const sharing = ({ headers: { origin } }: Request) =>
      Effect.map((response: Response) => {
        const varied = hasOrigins ? varyByOrigin(response) : response
        return origin !== undefined && isAllowedOrigin(origin) ? allowOrigin(varied, origin) : varied
      })

    return (effect) => {
      const answerOr = (missing: () => Response) =>
        Effect.catchIf(effect, isRouteNotFound, () => Effect.sync(missing))
      const answer = answerOr(() => notFound)
      return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const path = doors.applicationPath(request)
        if (path === undefined) {
          const checked =
            request.url.split("?", 1)[0] === openPath ? Effect.succeed(checkHealth(request)) : check(request)
          return Effect.flatMap(checked, (found) => ("key" in found ? answer : Effect.succeed(found)))
        }
        if (isPreflight(request) && isAllowedOrigin(request.headers["origin"])) {
          return sharing(request)(Effect.succeed(preflightResponse(request)))
        }
        const checked = path.isEndpoint ? checkPublic(request, path.refuse) : checkMissing(request, path)
        return sharing(request)(
          Effect.flatMap(checked, (found) =>
            "key" in found
              ? Effect.provideService(answerOr(path.missing), Caller, found)
              : Effect.succeed(found)
          )
        )
      })
    }
  }),
  { global: true }
)
