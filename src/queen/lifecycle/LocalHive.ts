import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DaemonClient } from "../../daemon/DaemonClient.ts"
import { DaemonLauncher, type DaemonNotStarted } from "../../daemon/DaemonLauncher.ts"
import { MountPath } from "../../daemon/MountPath.ts"
import type { Peer } from "../../job/client/Peer.ts"
import type { Narrate } from "../../job/withNarration.ts"
import { Settings } from "../../settings/Settings.ts"
import type { SpawnFailed } from "../../system/DetachedProcess.ts"
import { PidFile } from "../../system/PidFile.ts"
import { Pids } from "../../system/Pids.ts"
import { reachableUrl } from "../../system/reachableUrl.ts"
import { WorkerProcessFiles } from "../../system/WorkerProcessFiles.ts"
import { readHeartbeat } from "../registry/identify.ts"

/** Starts and stops the hive daemon on this machine. */
export class LocalHive extends Context.Service<
  LocalHive,
  {
    /** Returns the pid when the daemon answers. */
    readonly start: (
      alias: string,
      peer: Peer,
      narrate: Narrate
    ) => Effect.Effect<number, DaemonNotStarted | SpawnFailed>
    /** Returns when the daemon and its workers have exited. */
    readonly stop: (alias: string, peer: Peer, narrate: Narrate) => Effect.Effect<void>
  }
>()("rbee/queen/lifecycle/LocalHive") {
  static readonly layer = Layer.effect(
    LocalHive,
    Effect.suspend(() => make)
  ).pipe(Layer.provide([DaemonLauncher.layerNoDeps, WorkerProcessFiles.layer]))
}

const requestTimeout = "1 second"

/** The command line of a hive that reports to a queen at a path of its server. */
export const serveArguments = (
  alias: string,
  hive: Peer,
  queen: Settings["Service"]["queen"],
  mountPath: string
) => {
  const { hostname, port } = new URL(hive.url)
  const queenUrl = reachableUrl(queen.host, queen.port, true) + mountPath
  return ["hive", "serve", "--hive-id", alias, "--host", hostname, "--port", port, "--queen-url", queenUrl]
}

const make = Effect.gen(function* () {
  const client = yield* DaemonClient
  const launcher = yield* DaemonLauncher
  const mountPath = yield* MountPath
  const pids = yield* Pids
  const pidFiles = yield* PidFile
  const workerFiles = yield* WorkerProcessFiles
  const { hive, queen, timeouts } = yield* Settings

  const start = Effect.fn("LocalHive.start")(function* (alias: string, peer: Peer, narrate: Narrate) {
    yield* narrate("hive_start", `Starting hive '${alias}' at ${peer.url}`)
    const pid = yield* launcher.launch({
      name: `hive-${alias}`,
      peer,
      args: serveArguments(alias, peer, queen, mountPath)
    })
    yield* narrate("hive_start", `Hive '${alias}' is running (pid ${pid})`)
    return pid
  })

  // Another hive may listen at the address, such as one with an id of its own.
  const isHiveItself = (alias: string, peer: Peer) =>
    readHeartbeat(client, peer, requestTimeout).pipe(
      Effect.map(({ hive_id }) => hive_id === alias || hive_id === hive.id),
      Effect.orElseSucceed(() => false)
    )

  const stop = Effect.fn("LocalHive.stop")(function* (alias: string, peer: Peer, narrate: Narrate) {
    const running = yield* pidFiles.processes(`hive-${alias}`)
    const orphans = yield* workerFiles.ofHive(alias)
    const answers = yield* isHiveItself(alias, peer)
    if (running.length === 0 && orphans.length === 0 && !answers) {
      return yield* narrate("hive_stop", `Hive '${alias}' is not running`)
    }
    yield* narrate("hive_stop", `Stopping hive '${alias}' and its workers`)
    if (answers) yield* client.shutdown(peer).pipe(Effect.timeout(requestTimeout), Effect.ignore)
    // Workers outlive a killed hive.
    for (const daemon of [...running, ...orphans]) yield* pids.terminate(daemon, timeouts.shutdown)
    yield* narrate("hive_stop", `Hive '${alias}' has stopped`)
  })

  return LocalHive.of({ start, stop })
})
