import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { Settings } from "../settings/Settings.ts"
import { makePooledClient } from "./PooledClient.ts"
import { resettingConnector } from "./resettingConnector.ts"

const client = Effect.gen(function* () {
  const tracer = yield* Effect.tracer
  const pooled = yield* makePooledClient(yield* NodeHttpClient.Dispatcher)
  // Spans that nobody records cost as much as the rest of a request.
  return tracer === Tracer.nativeTracer ? pooled : HttpClient.make((request) => pooled.execute(request))
})

/**
 * An HTTP client with its own connections. Every stream occupies one connection, and a cancel needs another one, so the
 * limit of connections is above the number of jobs that may run.
 */
export const httpPool = Layer.unwrap(
  Settings.use(({ limits, timeouts }) =>
    Effect.succeed(
      // Not `layerUndiciOptions`, which merges all services of the daemon into the context of every request.
      Layer.effect(HttpClient.HttpClient, client).pipe(
        Layer.provide(
          NodeHttpClient.layerDispatcherOptions({
            connections: limits.jobsRunning * 2 + 64,
            connect: resettingConnector(Duration.toMillis(timeouts.connect)),
            keepAliveTimeout: 4_000
          })
        )
      )
    )
  )
)
