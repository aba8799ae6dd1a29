import * as Effect from "effect/Effect"
import { DaemonClient } from "../daemon/DaemonClient.ts"
import { Settings } from "../settings/Settings.ts"
import { PidFile } from "../system/PidFile.ts"
import { type ProcessId, Pids } from "../system/Pids.ts"
import { WorkerProcessFiles } from "../system/WorkerProcessFiles.ts"
import { Connection } from "./Connection.ts"

const requestTimeout = "2 seconds"

// A graceful shutdown ends all streams; a process that ignores the request is terminated.
const stopDaemon = Effect.fnUntraced(function* (name: string) {
  const daemons = yield* DaemonClient
  const pids = yield* Pids
  const pidFiles = yield* PidFile
  const { timeouts } = yield* Settings
  const connection = yield* Connection
  const running = yield* pidFiles.processes(name)
  const { token } = yield* connection.queen
  yield* Effect.forEach(
    running,
    (daemon) =>
      daemons
        .shutdown({ url: daemon.url, token })
        .pipe(
          Effect.timeout(requestTimeout),
          Effect.ignore,
          Effect.andThen(pids.terminate(daemon, timeouts.shutdown))
        ),
    { concurrency: "unbounded", discard: true }
  )
  return running.length > 0
})

/** Stops the queen of this home; false if it was not running. */
export const stopQueen = stopDaemon("queen")

const terminateWorkers = Effect.fnUntraced(function* (workers: ReadonlyArray<ProcessId>) {
  const pids = yield* Pids
  const { timeouts } = yield* Settings
  yield* Effect.forEach(workers, (worker) => pids.terminate(worker, timeouts.shutdown), {
    concurrency: "unbounded",
    discard: true
  })
})

/** Stops the hives of this home and all their workers; returns the names of the stopped hives. */
export const stopHives = Effect.gen(function* () {
  const pidFiles = yield* PidFile
  const files = yield* WorkerProcessFiles
  const names = (yield* pidFiles.names).filter((name) => name.startsWith("hive-"))
  const stopped = yield* Effect.filter(names, stopDaemon)
  // Workers survive a killed hive.
  yield* terminateWorkers(yield* files.list)
  return stopped
})

/** Stops one hive of this home and its workers; false if it was not running. */
export const stopHive = Effect.fnUntraced(function* (id: string) {
  const files = yield* WorkerProcessFiles
  const stopped = yield* stopDaemon(`hive-${id}`)
  yield* terminateWorkers(yield* files.ofHive(id))
  return stopped
})
