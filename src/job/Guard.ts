import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import { Settings } from "../config/Settings.ts"
import { Token } from "../config/Token.ts"
import { Caller } from "./Caller.ts"
import { Doors, type WriteRefusal } from "./Doors.ts"
import { refusal } from "./httpErrors.ts"

const openPath = "/health"

const loopback = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?$/i

const refuseForeign = (refuse: WriteRefusal, what: string, value: string) =>
  refuse(
    403,
    "Forbidden",
    `The ${what} '${value.slice(0, 200)}' is not allowed; add it to allowed_${what.toLowerCase()}s in config.toml if it should be`
  )

const owner: Caller = { key: undefined }

/**
 * Lets a request through when it comes from no web page, carries the token where there is one, and names a host that
 * is meant; who has the token may call this machine by any name. Only `/health` needs no token. At the doors for
 * applications a key does as well as the token.
 */
export const guard = HttpRouter.middleware(
  Effect.gen(function* () {
    const { allowedHosts, allowedOrigins, hosts } = yield* Settings.use(
      ({ allowedHosts, allowedOrigins, hive, queen }) =>
        Effect.succeed({ allowedHosts, allowedOrigins, hosts: [hive.host, queen.host] })
    )
    const token = yield* Token
    const doors = yield* Doors
    const hasToken = Option.isSome(token.own)

    const hostIsMeant = (host: string) => {
      const name = host.replace(/:\d{1,5}$/, "")
      return (
        loopback.test(host) ||
        allowedHosts.includes(host) ||
        allowedHosts.includes(name) ||
        hosts.includes(name)
      )
    }

    // A web page that had its name resolve to this daemon could not know the token, nor a key.
    const checkPlace = (
      { headers: { host = "", origin } }: HttpServerRequest.HttpServerRequest,
      refuse: WriteRefusal,
      isTrusted: boolean
    ) => {
      if (origin !== undefined && !allowedOrigins.includes(origin))
        return refuseForeign(refuse, "Origin", origin)
      return isTrusted || hostIsMeant(host) ? undefined : refuseForeign(refuse, "Host", host)
    }

    const check = (request: HttpServerRequest.HttpServerRequest) => {
      const { authorization = "" } = request.headers
      const isTrusted = hasToken && token.accepts(authorization)
      const refused = checkPlace(request, refusal, isTrusted)
      if (refused !== undefined) return refused
      return isTrusted || token.accepts(authorization) || request.url.split("?")[0] === openPath
        ? undefined
        : refusal(
            401,
            "Unauthorized",
            "This daemon wants a token: Authorization: Bearer <token> (rbee reads it from RBEE_TOKEN or --token-file)"
          )
    }

    const checkAtDoor = Effect.fnUntraced(function* (
      request: HttpServerRequest.HttpServerRequest,
      refuse: WriteRefusal
    ) {
      const { authorization = "", "x-api-key": plain } = request.headers
      const bearer = plain === undefined ? authorization : `Bearer ${plain}`
      const isOwner = hasToken && token.accepts(bearer)
      const key = isOwner ? undefined : yield* doors.find(bearer.replace(/^Bearer /i, ""))
      const refused = checkPlace(request, refuse, isOwner || key !== undefined)
      if (refused !== undefined) return refused
      if (isOwner) return owner
      if (key !== undefined) return { key }
      return hasToken || (yield* doors.wantKey)
        ? refuse(
            401,
            "Unauthorized",
            "This daemon wants a key: Authorization: Bearer <key>, or x-api-key (rbee key create makes one)"
          )
        : owner
    })

    return (effect) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const refuse = doors.refusalAt(request)
        if (refuse === undefined) {
          const refused = check(request)
          return refused === undefined ? effect : Effect.succeed(refused)
        }
        return Effect.flatMap(checkAtDoor(request, refuse), (found) =>
          "key" in found ? Effect.provideService(effect, Caller, found) : Effect.succeed(found)
        )
      })
  }),
  { global: true }
)
