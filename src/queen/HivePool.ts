import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import { Settings } from "../config/Settings.ts"

/**
 * The one HTTP client of a process that talks to hives. Every stream holds a connection for as long as it lasts, so
 * the cap stands above the number of jobs that may run.
 */
export const hivePool = Layer.unwrap(
  Settings.use(({ limits, timeouts }) =>
    Effect.succeed(
      // Not `layerUndiciOptions`, which merges all services of the daemon into the context of every request.
      Layer.effect(HttpClient.HttpClient, NodeHttpClient.makeUndici).pipe(
        Layer.provide(
          NodeHttpClient.layerDispatcherOptions({
            connections: limits.jobsRunning * 2 + 64,
            connectTimeout: Duration.toMillis(timeouts.connect),
            keepAliveTimeout: 4_000
          })
        )
      )
    )
  )
)
