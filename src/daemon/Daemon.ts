import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpApi from "effect/http-api/HttpApi"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { checkBind } from "../access/Token.ts"
import { Jobs } from "../job/Jobs.ts"
import { Ticker } from "../job/log/Follower.ts"
import { DaemonAddress } from "./DaemonAddress.ts"
import { daemonRoutes, type Guarded, type OwnGroups } from "./daemonRoutes.ts"
import { portOwner } from "./portOwner.ts"
import { Shutdown } from "./Shutdown.ts"

/** The name of a daemon and its listening address; port 0 selects a free port. */
export interface DaemonOptions {
  readonly name: string
  readonly host: string
  readonly port: number
}

/** The daemon cannot listen on the configured address. */
export class CannotListen extends Schema.TaggedError<CannotListen>()("CannotListen", {
  host: Schema.String,
  port: Schema.Int,
  reason: Schema.String,
  /** The program that uses the port, and how to stop it. */
  owner: Schema.optionalKey(Schema.Struct({ who: Schema.String, stop: Schema.String }))
}) {
  override get message() {
    if (this.owner !== undefined) {
      const { stop, who } = this.owner
      return `Port ${this.port} on ${this.host} is in use by ${who}; ${stop}, or choose another port with --port of 'serve', or with the setting queen.port or hive.port`
    }
    return `Cannot listen on ${this.host}:${this.port} (${this.reason}); choose another address with --host or --port`
  }
}

const failToListen = Effect.fnUntraced(function* (host: string, port: number, reason: string) {
  const owner = reason === "EADDRINUSE" ? yield* portOwner(host, port) : undefined
  return yield* new CannotListen({ host, port, reason, ...(owner === undefined ? {} : { owner }) })
})

const cannotListen = (host: string, port: number) => (error: HttpServerError.ServeError) => {
  const reason = Predicate.hasProperty(error.cause, "code") ? String(error.cause.code) : String(error.cause)
  return Layer.effectContext(failToListen(host, port, reason))
}

/** Fails if the port is in use. Run it before starting anything that a failure would have to stop again. */
export const checkPort = ({ host, port }: { readonly host: string; readonly port: number }) =>
  port === 0
    ? Effect.void
    : Effect.callback<void, CannotListen>((resume) => {
        const probe = createServer()
        probe.once("error", (error: NodeJS.ErrnoException) =>
          resume(failToListen(host, port, error.code ?? error.message))
        )
        probe.listen({ host, port }, () => probe.close(() => resume(Effect.void)))
        return Effect.sync(() => probe.close())
      })

const endStreamsTimeout = "5 seconds"

// Runs before the server closes: every stream gets its end event, and no open connection delays the close. A worker that
// takes longer to stop its request is stopped together with the hive.
/** Stops all jobs of a daemon when the layer closes, so that every stream gets its end event. */
export const endStreams = Layer.effectDiscard(
  Jobs.use((jobs) =>
    Effect.addFinalizer(() =>
      Effect.interruptible(Effect.ignore(Effect.timeout(jobs.stopAll, endStreamsTimeout)))
    )
  )
)

/**
 * The HTTP server of a daemon. An API that contains an endpoint without an access middleware does not compile. Fails if the
 * address is in use, or if it is not a loopback address and the daemon has no token.
 */
export const daemon = <Groups extends HttpApiGroup.Constraint, E, R>(
  { host, name, port }: DaemonOptions,
  api: HttpApi.HttpApi<"rbee", Groups> & Guarded<Groups>,
  ownHandlers: Layer.Layer<OwnGroups<Groups>, E, R>
) =>
  Layer.unwrap(
    Effect.as(
      checkBind(host),
      endStreams.pipe(
        Layer.provide(
          HttpRouter.serve(daemonRoutes(name, api, ownHandlers), {
            disableListenLog: true,
            disableLogger: true
          })
        ),
        // With a shared memo map, two daemons in one process would share a router.
        Layer.provide(Layer.effect(Layer.CurrentMemoMap, Layer.makeMemoMap)),
        Layer.provideMerge(Layer.fresh(DaemonAddress.layer)),
        // Not provided to the outside: an application that starts the daemon may have its own HTTP server.
        Layer.provide(
          NodeHttpServer.layer(createServer, { host, port, gracefulShutdownTimeout: "500 millis" }).pipe(
            Layer.catchTag("ServeError", cannotListen(host, port))
          )
        ),
        Layer.provideMerge(Layer.fresh(Shutdown.layer)),
        Layer.provide(Ticker.layer)
      )
    )
  )

/**
 * A daemon with private services; only those that `offer` selects are provided. An application that starts the daemon may
 * have services of the same type, such as `JobsClient` or `Path`; the two must not be mixed up. The daemon is built once;
 * `Layer.fresh` alone would build it once per dependent.
 */
export const isolated = <A, B, E, R>(
  layer: Layer.Layer<A, E, R>,
  offer: (services: Context.Context<A>) => Context.Context<B>
) => Layer.effectContext(Effect.map(Layer.build(Layer.fresh(layer)), offer))

/** Runs a daemon until its `Shutdown` is requested, then stops it gracefully. Calls `onListening` with the base URL. */
export const serve = <A, E, R>(
  layer: Layer.Layer<A | DaemonAddress | Shutdown, E, R>,
  onListening: (url: string) => Effect.Effect<void> = () => Effect.void
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const context = yield* Layer.build(layer)
      yield* onListening(Context.get(context, DaemonAddress).url)
      yield* Context.get(context, Shutdown).requested
    })
  )
