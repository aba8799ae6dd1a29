import * as Effect from "effect/Effect"
import type * as HttpApi from "effect/http-api/HttpApi"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { checkBind } from "../access/Token.ts"
import { Ticker } from "../job/log/Follower.ts"
import { DaemonAddress } from "./DaemonAddress.ts"
import { daemonRoutes, type Guarded, type OwnGroups } from "./daemonRoutes.ts"
import { MountPath } from "./MountPath.ts"
import { Shutdown } from "./Shutdown.ts"

/** A path such as `/llm`, below which the endpoints of a daemon are mounted. */
export type Prefix = `/${string}`

/** A daemon cannot be mounted at this path. */
export class InvalidPrefix extends Schema.TaggedError<InvalidPrefix>()("InvalidPrefix", {
  prefix: Schema.String
}) {
  override get message() {
    return `Cannot mount a daemon at '${this.prefix}'; use a path such as '/llm': segments of letters, digits, '.', '_', '~' and '-', without a slash at the end`
  }
}

const isPrefix = (prefix: string) => /^(?:\/[A-Za-z0-9._~-]+)+$/.test(prefix)

const mount = <E, R>(prefix: Prefix, routes: Layer.Layer<never, E, R>) =>
  Effect.gen(function* () {
    if (!isPrefix(prefix)) return yield* new InvalidPrefix({ prefix })
    const { host } = yield* DaemonAddress
    if (host !== undefined) yield* checkBind(host)
    const router = yield* HttpRouter.HttpRouter
    // A router of its own: the daemon's response to unknown paths and its CORS headers are not the application's.
    const handler = yield* HttpRouter.toHttpEffect(routes).pipe(
      Effect.provideServiceEffect(Layer.CurrentMemoMap, Layer.makeMemoMap),
      Effect.provideService(MountPath, prefix)
    )
    yield* router.prefixed(prefix).add("*", "/*", Effect.orDie(handler))
  })

/**
 * The endpoints of a daemon below a path of the router in this context, in place of an HTTP server of its own. Fails if the
 * server of the application listens on an address that is not loopback and the daemon has no token.
 */
export const mountedDaemon = <Groups extends HttpApiGroup.Constraint, E, R>(
  { name, prefix }: { readonly name: string; readonly prefix: Prefix },
  api: HttpApi.HttpApi<"rbee", Groups> & Guarded<Groups>,
  ownHandlers: Layer.Layer<OwnGroups<Groups>, E, R>
) =>
  Layer.effectDiscard(mount(prefix, daemonRoutes(name, api, ownHandlers))).pipe(
    Layer.provideMerge(Layer.fresh(DaemonAddress.layerAt(prefix))),
    Layer.provideMerge(Layer.fresh(Shutdown.layer)),
    Layer.provide(Ticker.layer)
  )
