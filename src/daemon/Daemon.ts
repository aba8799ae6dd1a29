import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { checkBind } from "../access/Token.ts"
import { Handlers } from "../job/Handlers.ts"
import { Jobs } from "../job/Jobs.ts"
import { Ticker } from "../job/log/Follower.ts"
import { version } from "../system/Program.ts"
import { guard } from "./Guard.ts"
import { notFound } from "./httpErrors.ts"
import { jobRoutes } from "./jobRoutes.ts"
import { openApi } from "./openApi.ts"
import { portOwner } from "./portOwner.ts"
import { PublicRoutes } from "./PublicRoutes.ts"

/** What a daemon calls itself, and where it listens; port 0 takes a free one. */
export interface DaemonOptions {
  readonly name: string
  readonly host: string
  readonly port: number
}

/** The daemon cannot listen where it should. */
export class CannotListen extends Schema.TaggedError<CannotListen>()("CannotListen", {
  host: Schema.String,
  port: Schema.Int,
  reason: Schema.String,
  /** The program that has the port, and how it is stopped. */
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

/** Fails when the port is taken, before anything was started that would have to be ended again. */
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

/** Ends when somebody asked the daemon to stop. */
export class Shutdown extends Context.Service<
  Shutdown,
  {
    readonly request: Effect.Effect<void>
    readonly requested: Effect.Effect<void>
  }
>()("rbee/daemon/Daemon/Shutdown") {
  static readonly layer = Layer.effect(
    Shutdown,
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      return Shutdown.of({
        request: Effect.asVoid(Deferred.succeed(asked, undefined)),
        requested: Deferred.await(asked)
      })
    })
  )
}

// Clients of Ollama look here by GET or HEAD whether somebody is there. The router takes others, such as `//`, for the same.
const rootAnswer = Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) =>
  url === "/" ? HttpServerResponse.text("rbee is running") : notFound
)

const commonRoutes = (name: string) =>
  HttpRouter.use(
    Effect.fn(function* (router) {
      const shutdown = yield* Shutdown
      const handlers = yield* Handlers
      const doors = yield* PublicRoutes
      yield* router.add("GET", "/health", Effect.succeed(HttpServerResponse.text("ok")))
      yield* router.add(
        "GET",
        "/v1/build-info",
        Effect.succeed(
          HttpServerResponse.jsonUnsafe({
            name,
            version,
            pid: process.pid,
            node: process.version,
            engines: { "node-llama-cpp": "3.21.1" }
          })
        )
      )
      yield* router.add(
        "GET",
        "/openapi.json",
        Effect.map(handlers.catalog, (catalog) =>
          HttpServerResponse.jsonUnsafe(openApi(name, catalog, doors.paths))
        )
      )
      yield* router.add(
        "POST",
        "/v1/shutdown",
        Effect.as(shutdown.request, HttpServerResponse.jsonUnsafe({ status: "stopping" }))
      )
      yield* router.add("GET", "/", rootAnswer)
    })
  )

const endStreamsTimeout = "5 seconds"

// Runs before the server closes, so that every stream has its end event and no connection must be waited for. A worker that
// needs longer to stop a request is ended with the hive.
const endStreams = Layer.effectDiscard(
  Jobs.use((jobs) =>
    Effect.addFinalizer(() =>
      Effect.interruptible(Effect.ignore(Effect.timeout(jobs.stopAll, endStreamsTimeout)))
    )
  )
)

/**
 * The HTTP side of a daemon: the routes that queen and hive share, and its own. Fails when the address is taken, or
 * lies beyond loopback and there is no token.
 */
export const daemon = <E, R>({ host, name, port }: DaemonOptions, ownRoutes: Layer.Layer<never, E, R>) =>
  Layer.unwrap(
    Effect.as(
      checkBind(host),
      endStreams.pipe(
        Layer.provide(
          HttpRouter.serve(Layer.mergeAll(commonRoutes(name), jobRoutes, ownRoutes, guard), {
            disableListenLog: true,
            disableLogger: true
          })
        ),
        // The routes are built with this memo map; another's would give this daemon the router of that one.
        Layer.provide(Layer.effect(Layer.CurrentMemoMap, Layer.makeMemoMap)),
        Layer.provideMerge(
          NodeHttpServer.layer(createServer, { host, port, gracefulShutdownTimeout: "500 millis" }).pipe(
            Layer.catchTag("ServeError", cannotListen(host, port))
          )
        ),
        Layer.provideMerge(Layer.fresh(Shutdown.layer)),
        Layer.provide(Ticker.layer)
      )
    )
  )

/** The base URL of the daemon that listens in this context. */
export const boundUrl = Effect.map(HttpServer.HttpServer, ({ address }) => HttpServer.formatAddress(address))

/**
 * A daemon with services of its own, there once for all who need it. Whoever starts it may have a `JobsClient`, over a
 * client of its own, which would be taken for the daemon's; and a fresh layer alone is built anew for each.
 */
export const isolated = <A, E, R>(layer: Layer.Layer<A, E, R>) =>
  Layer.effectContext(Layer.build(Layer.fresh(layer)))

/** Runs a daemon until somebody asks it to stop, then stops it gracefully. Calls `onListening` with its base URL. */
export const serve = <A, E, R>(
  layer: Layer.Layer<A | HttpServer.HttpServer | Shutdown, E, R>,
  onListening: (url: string) => Effect.Effect<void> = () => Effect.void
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const context = yield* Layer.build(layer)
      yield* onListening(HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address))
      yield* Context.get(context, Shutdown).requested
    })
  )
