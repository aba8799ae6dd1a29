import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Settings } from "../config/Settings.ts"

/**
 * The one HTTP client of a hive, for its workers and its queen. Each answer holds a connection while it is written, and
 * a cancel takes one more, so the cap stands above the number of jobs that may run.
 */
export const workerPool = Layer.unwrap(
  Settings.use(({ limits, timeouts }) =>
    Effect.succeed(
      NodeHttpClient.layerUndiciOptions({
        connections: limits.jobsRunning * 2 + 64,
        connectTimeout: Duration.toMillis(timeouts.connect),
        keepAliveTimeout: 4_000
      })
    )
  )
)
