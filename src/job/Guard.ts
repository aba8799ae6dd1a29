import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import { Settings } from "../config/Settings.ts"
import { Token } from "../config/Token.ts"
import { refusal } from "./httpErrors.ts"

const openPath = "/health"

const loopback = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?$/i

const unauthorized = refusal(
  401,
  "Unauthorized",
  "This daemon wants a token: Authorization: Bearer <token> (rbee reads it from RBEE_TOKEN or --token-file)"
)

const foreign = (what: string, value: string) =>
  refusal(
    403,
    "Forbidden",
    `The ${what} '${value.slice(0, 200)}' is not allowed; add it to allowed_${what.toLowerCase()}s in config.toml if it should be`
  )

/**
 * Lets a request through when it comes from no web page, carries the token where there is one, and names a host that
 * is meant; who has the token may call this machine by any name. Only `/health` needs no token.
 */
export const guard = HttpRouter.middleware(
  Effect.gen(function* () {
    const { allowedHosts, allowedOrigins, hosts } = yield* Settings.use(
      ({ allowedHosts, allowedOrigins, hive, queen }) =>
        Effect.succeed({ allowedHosts, allowedOrigins, hosts: [hive.host, queen.host] })
    )
    const token = yield* Token

    const hostIsMeant = (host: string) => {
      const name = host.replace(/:\d{1,5}$/, "")
      return (
        loopback.test(host) ||
        allowedHosts.includes(host) ||
        allowedHosts.includes(name) ||
        hosts.includes(name)
      )
    }

    const check = (request: HttpServerRequest.HttpServerRequest) => {
      const { authorization = "", host = "", origin } = request.headers
      if (origin !== undefined && !allowedOrigins.includes(origin)) return foreign("Origin", origin)
      // A web page that had its name resolve to this daemon could not know the token.
      const isTrusted = Option.isSome(token.own) && token.accepts(authorization)
      if (!isTrusted && !hostIsMeant(host)) return foreign("Host", host)
      if (isTrusted || request.url.split("?")[0] === openPath) return undefined
      return token.accepts(authorization) ? undefined : unauthorized
    }

    return (effect) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const refused = check(request)
        return refused === undefined ? effect : Effect.succeed(refused)
      })
  }),
  { global: true }
)
