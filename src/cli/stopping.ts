import * as Effect from "effect/Effect"
import { Pids } from "../config/Pids.ts"
import { RunFile } from "../config/RunFile.ts"
import { Settings } from "../config/Settings.ts"
import { WorkerProcessFiles } from "../config/WorkerProcessFiles.ts"
import { JobsClient } from "../job/JobsClient.ts"
import { Connection } from "./Connection.ts"

const askWithin = "2 seconds"

// Asks first, so that streams get their end; the process itself is ended when asking does not help.
const stopDaemon = Effect.fnUntraced(function* (name: string) {
  const client = yield* JobsClient
  const pids = yield* Pids
  const runFiles = yield* RunFile
  const { timeouts } = yield* Settings
  const connection = yield* Connection
  const running = yield* runFiles.processes(name)
  const { token } = yield* connection.queen
  yield* Effect.forEach(
    running,
    (daemon) =>
      client
        .post({ url: daemon.url, token }, "/v1/shutdown")
        .pipe(
          Effect.timeout(askWithin),
          Effect.ignore,
          Effect.andThen(pids.terminate(daemon, timeouts.shutdown))
        ),
    { concurrency: "unbounded", discard: true }
  )
  return running.length > 0
})

/** Stops the queen of this home; false when it did not run. */
export const stopQueen = stopDaemon("queen")

/** Stops the hives of this home and every worker of theirs; gives the names of the hives. */
export const stopHives = Effect.gen(function* () {
  const runFiles = yield* RunFile
  const files = yield* WorkerProcessFiles
  const pids = yield* Pids
  const { timeouts } = yield* Settings
  const names = (yield* runFiles.names).filter((name) => name.startsWith("hive-"))
  const stopped = yield* Effect.filter(names, stopDaemon)
  // Workers outlive a hive that was killed.
  const workers = yield* files.list
  yield* Effect.forEach(workers, (worker) => pids.terminate(worker, timeouts.shutdown), {
    concurrency: "unbounded",
    discard: true
  })
  return stopped
})
