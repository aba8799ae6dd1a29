import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { unhandled } from "effect/Types"
import type { ApiKey } from "../access/ApiKey.ts"
import { fingerprint, Token } from "../access/Token.ts"
import { Settings } from "../settings/Settings.ts"
import { isLoopbackAuthority } from "../system/loopback.ts"
import { Caller } from "./Caller.ts"
import { credentialsOf } from "./credentials.ts"
import { ApiKeysUnreadable, Forbidden, KeyForbidden, Unauthorized } from "./errors.ts"
import { PublicRoutes } from "./PublicRoutes.ts"
import { errorResponse, wireError, wireErrorWith } from "./wireError.ts"

type Request = HttpServerRequest.HttpServerRequest

const anybody: Caller["Service"] = { key: undefined, name: "local" }

const holderOf = (key: ApiKey): Caller["Service"] => ({ key, name: `key ${key.id}` })

/** The sender of a request, according to its credentials. */
interface Sender {
  readonly isOwner: boolean
  readonly key: ApiKey | undefined
  readonly gaveCredential: boolean
}

const described = <A extends HttpApiSecurity.HttpApiSecurity>(security: A, description: string) =>
  HttpApiSecurity.annotate(security, OpenApi.Description, description)

const daemonToken = described(
  HttpApiSecurity.bearer,
  "The daemon token; on loopback it is required only once a token exists. API keys are rejected here."
)
const bearerKey = described(
  HttpApiSecurity.bearer,
  "An API key (rbee key create) or the daemon token; on loopback it is required only once a key or a token exists"
)
const headerKey = described(
  HttpApiSecurity.apiKey({ in: "header", key: "x-api-key" }),
  "The same as 'Authorization: Bearer'"
)

const accessErrors = [
  wireError(Forbidden),
  wireError(KeyForbidden),
  wireErrorWith("www-authenticate", Unauthorized)
] as const

/**
 * The access rules of a daemon. The `Host` of a request must be one of the daemon's names, and its `Origin` must not be
 * foreign. With a valid credential the `Host` is not checked.
 */
export class AccessRules extends Context.Service<
  AccessRules,
  {
    /** The daemon's own endpoints: they require the daemon token if one exists. */
    readonly daemon: (
      request: Request
    ) => Effect.Effect<Caller["Service"], Forbidden | KeyForbidden | Unauthorized>
    /** The application endpoints: they accept an API key or the daemon token. */
    readonly application: (
      request: Request
    ) => Effect.Effect<Caller["Service"], ApiKeysUnreadable | Forbidden | Unauthorized>
    /**
     * Application paths without an endpoint: they require the daemon token if one exists. An API key is accepted too, so
     * that its holder gets the response for a missing path.
     */
    readonly missing: (request: Request) => Effect.Effect<Caller["Service"], Forbidden | Unauthorized>
    /** Open to every request except those from a web page of a foreign origin. */
    readonly open: (request: Request) => Effect.Effect<Caller["Service"], Forbidden>
    readonly isAllowedOrigin: (origin: string | undefined) => boolean
    /** Whether any foreign origin is allowed. */
    readonly hasOrigins: boolean
  }
>()("rbee/daemon/Access/AccessRules") {
  static readonly layer = Layer.effect(
    AccessRules,
    Effect.suspend(() => make)
  )
}

const makeOriginPolicy = Effect.map(Settings, ({ allowedHosts, allowedOrigins, hive, queen }) => {
  const hosts = new Set([...allowedHosts, hive.host, queen.host].map((host) => host.toLowerCase()))
  const origins = new Set(allowedOrigins.map((origin) => origin.replace(/\/$/, "")))

  const isOwnHost = (host: string) => {
    const lower = host.toLowerCase()
    return isLoopbackAuthority(host) || hosts.has(lower) || hosts.has(lower.replace(/:\d{1,5}$/, ""))
  }

  const isAllowedOrigin = (origin: string | undefined) => origin !== undefined && origins.has(origin)

  // A DNS rebinding page knows neither the token nor a key, so a trusted request needs no check of the host.
  const check = ({ headers: { host = "", origin } }: Request, isTrusted: boolean) => {
    if (!isTrusted && !isOwnHost(host)) return new Forbidden({ header: "Host", value: host })
    const isOwn = origin !== undefined && origin.toLowerCase() === `http://${host.toLowerCase()}`
    return origin === undefined || isOwn || isAllowedOrigin(origin)
      ? undefined
      : new Forbidden({ header: "Origin", value: origin })
  }

  return { check, isAllowedOrigin, hasOrigins: origins.size > 0 }
})

const make = Effect.gen(function* () {
  const originPolicy = yield* makeOriginPolicy
  const token = yield* Token
  const routes = yield* PublicRoutes
  const hasToken = Option.isSome(token.own)
  const owner: Caller["Service"] = Option.match(token.own, {
    onNone: () => anybody,
    onSome: (own) => ({ key: undefined, name: `token ${fingerprint(own)}` })
  })

  const senderOf = Effect.fnUntraced(function* (request: Request, looksForKey: boolean) {
    const credentials = credentialsOf(request)
    const isOwner = hasToken && credentials.some(token.accepts)
    let key: ApiKey | undefined
    if (!isOwner && looksForKey) for (const credential of credentials) key ??= yield* routes.find(credential)
    const refused = originPolicy.check(request, isOwner || key !== undefined)
    if (refused !== undefined) return yield* refused
    const sender: Sender = { isOwner, key, gaveCredential: credentials.length > 0 }
    return sender
  })

  return AccessRules.of({
    hasOrigins: originPolicy.hasOrigins,
    isAllowedOrigin: originPolicy.isAllowedOrigin,
    daemon: Effect.fnUntraced(function* (request) {
      const { gaveCredential, isOwner, key } = yield* senderOf(request, hasToken)
      if (isOwner || !hasToken) return owner
      if (key !== undefined) return yield* new KeyForbidden({ key: key.name })
      return yield* new Unauthorized({ wasGiven: gaveCredential, wanted: "token" })
    }),
    application: Effect.fnUntraced(function* (request) {
      const { gaveCredential, isOwner, key } = yield* senderOf(request, true)
      if (isOwner) return owner
      if (key !== undefined) return holderOf(key)
      const keys = yield* routes.keys
      if (keys === "unreadable") return yield* new ApiKeysUnreadable()
      if (!hasToken && keys === "none") return owner
      return yield* new Unauthorized({ wasGiven: gaveCredential, wanted: "key" })
    }),
    missing: Effect.fnUntraced(function* (request) {
      const { gaveCredential, isOwner, key } = yield* senderOf(request, true)
      if (isOwner || !hasToken) return owner
      if (key !== undefined) return holderOf(key)
      return yield* new Unauthorized({ wasGiven: gaveCredential, wanted: "key" })
    }),
    open: (request) => {
      const refused = originPolicy.check(request, true)
      return refused === undefined ? Effect.succeed(anybody) : Effect.fail(refused)
    }
  })
})

/**
 * Provides the `Caller` of the daemon's own endpoints.
 *
 * @effect-expect-leaking HttpServerRequest ParsedSearchParams RouteContext
 */
export class DaemonAccess extends HttpApiMiddleware.Service<DaemonAccess, { provides: Caller }>()(
  "rbee/daemon/Access/DaemonAccess",
  {
    security: { daemonToken },
    error: accessErrors
  }
) {
  static readonly layer = Layer.effect(
    DaemonAccess,
    Effect.map(AccessRules, (rules) => {
      const check = Effect.flatMap(HttpServerRequest.HttpServerRequest, rules.daemon)
      return DaemonAccess.of({
        daemonToken: (handler) => Effect.provideServiceEffect(handler, Caller, check)
      })
    })
  )
}

/**
 * Provides the `Caller` of the application endpoints. A rejection has the error format of the endpoint's API, which each of
 * these endpoints declares.
 *
 * @effect-expect-leaking HttpServerRequest ParsedSearchParams RouteContext
 */
export class ApplicationAccess extends HttpApiMiddleware.Service<ApplicationAccess, { provides: Caller }>()(
  "rbee/daemon/Access/ApplicationAccess",
  { security: { apiKey: bearerKey, apiKeyHeader: headerKey } }
) {
  static readonly layer = Layer.effect(
    ApplicationAccess,
    Effect.gen(function* () {
      const rules = yield* AccessRules
      const routes = yield* PublicRoutes
      const access = (handler: Effect.Effect<HttpServerResponse.HttpServerResponse, unhandled, Caller>) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
          Effect.matchEffect(rules.application(request), {
            onSuccess: (caller) => Effect.provideService(handler, Caller, caller),
            onFailure: (error) =>
              Effect.succeed(routes.applicationPath(request)?.refuse(error) ?? errorResponse(error))
          })
        )
      // The handler of each scheme checks all credentials of the request.
      return ApplicationAccess.of({ apiKey: access, apiKeyHeader: access })
    })
  )
}

/**
 * Provides the `Caller` of `/health`, which needs neither a credential nor a known host.
 *
 * @effect-expect-leaking HttpServerRequest ParsedSearchParams RouteContext
 */
export class OpenAccess extends HttpApiMiddleware.Service<OpenAccess, { provides: Caller }>()(
  "rbee/daemon/Access/OpenAccess",
  { error: accessErrors }
) {
  static readonly layer = Layer.effect(
    OpenAccess,
    Effect.map(
      AccessRules,
      (rules) =>
        (handler, { endpoint }) =>
          Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
            // The router also matches other spellings, such as `//health`; they are not open.
            const isExact = request.url.split("?", 1)[0] === endpoint.path
            return Effect.provideServiceEffect(
              handler,
              Caller,
              isExact ? rules.open(request) : rules.daemon(request)
            )
          })
    )
  )
}

/** The access middlewares of all endpoints. */
export const accessLayer = Layer.mergeAll(DaemonAccess.layer, ApplicationAccess.layer, OpenAccess.layer)
