import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { checkBind } from "../access/Token.ts"
import { Jobs } from "../job/Jobs.ts"
import { Ticker } from "../job/log/Follower.ts"
import {
  accessLayer,
  AccessRules,
  type ApplicationAccess,
  type DaemonAccess,
  type OpenAccess
} from "./Access.ts"
import { DaemonAddress } from "./DaemonAddress.ts"
import { daemonHandlers } from "./daemonHandlers.ts"
import { Document, documentOf } from "./Document.ts"
import { guard } from "./Guard.ts"
import { jobHandlers } from "./jobHandlers.ts"
import { portOwner } from "./portOwner.ts"
import { Shutdown } from "./Shutdown.ts"

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

type Access = ApplicationAccess | DaemonAccess | OpenAccess

/** The endpoints of a group that have no access middleware. */
type Unguarded<Groups> =
  HttpApiGroup.Endpoints<Groups> extends infer Endpoint
    ? Endpoint extends HttpApiEndpoint.Constraint
      ? [Extract<HttpApiEndpoint.Middleware<Endpoint>, Access>] extends [never]
        ? Endpoint["identifier"]
        : never
      : never
    : never

/** A contract of a daemon, if each of its endpoints has an access middleware. */
export type Guarded<Groups extends HttpApiGroup.Constraint> = [Unguarded<Groups>] extends [never]
  ? HttpApi.HttpApi<"rbee", Groups>
  : `Endpoint without an access middleware: ${Unguarded<Groups>}`

/** The handlers of a contract's groups besides those that every daemon has. */
type OwnGroups<Groups extends HttpApiGroup.Constraint> = HttpApiGroup.ToService<
  "rbee",
  Exclude<Groups, { readonly identifier: "daemon" | "jobs" }>
>

/**
 * The HTTP side of a daemon: the endpoints of its contract. An endpoint that does not check who calls does not compile.
 * Fails when the address is taken, or lies beyond loopback and there is no token.
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
          HttpRouter.serve(
            Layer.merge(
              HttpApiBuilder.layer<"rbee", Groups>(api).pipe(
                Layer.provide([ownHandlers, jobHandlers, daemonHandlers(name)]),
                Layer.provide([accessLayer, Layer.succeed(Document, documentOf(name, api))])
              ),
              guard
            ).pipe(Layer.provide(AccessRules.layer)),
            { disableListenLog: true, disableLogger: true }
          )
        ),
        // The routes are built with this memo map; another's would give this daemon the router of that one.
        Layer.provide(Layer.effect(Layer.CurrentMemoMap, Layer.makeMemoMap)),
        Layer.provideMerge(DaemonAddress.layer),
        // An application has an HTTP server of its own, which this one must not replace.
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
 * A daemon with services of its own, built once for all that need it, of which only those that `offer` picks are provided.
 * The application that starts it may have services of the same kind, such as a `JobsClient` or a `Path`, which must not be
 * taken for the daemon's, nor the daemon's for them; and a fresh layer alone is built again for each that needs it.
 */
export const isolated = <A, B, E, R>(
  layer: Layer.Layer<A, E, R>,
  offer: (services: Context.Context<A>) => Context.Context<B>
) => Layer.effectContext(Effect.map(Layer.build(Layer.fresh(layer)), offer))

/** Runs a daemon until somebody asks it to stop, then stops it gracefully. Calls `onListening` with its base URL. */
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
