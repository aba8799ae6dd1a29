import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import { DaemonLauncher, type DaemonNotStarted, healthPolls } from "../../daemon/DaemonLauncher.ts"
import { JobsClient, type Peer } from "../../job/client/JobsClient.ts"
import type { Narrate } from "../../job/withNarration.ts"
import { Settings } from "../../settings/Settings.ts"
import type { SpawnFailed } from "../../system/DetachedProcess.ts"
import { isLoopback } from "../../system/loopback.ts"
import { PidFile } from "../../system/PidFile.ts"
import { Pids } from "../../system/Pids.ts"
import { reachableUrl } from "../../system/reachableUrl.ts"
import { WorkerProcessFiles } from "../../system/WorkerProcessFiles.ts"
import { HiveNotReachable, type HiveNotConfigured, type HiveNotFound } from "../forward/errors.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import { readHeartbeat } from "../registry/identify.ts"
import type { RemoteHiveError } from "../ssh/installErrors.ts"
import { RemoteHive } from "../ssh/RemoteHive.ts"
import { hiveTargets } from "./hiveTargets.ts"

/** What starting or stopping came to. */
export type HiveChange = {
  readonly alias: string
  readonly state: "running" | "stopped"
  readonly url: string
  readonly pid?: number
}

/** Starts and stops the daemons of hives, here and by ssh. What runs already, or does not run, is a success. */
export class HiveLifecycle extends Context.Service<
  HiveLifecycle,
  {
    readonly start: (
      alias: string,
      narrate: Narrate
    ) => Effect.Effect<
      HiveChange,
      DaemonNotStarted | HiveNotConfigured | HiveNotFound | HiveNotReachable | RemoteHiveError | SpawnFailed
    >
    readonly stop: (
      alias: string,
      narrate: Narrate
    ) => Effect.Effect<HiveChange, HiveNotConfigured | HiveNotFound | RemoteHiveError>
    /** Whether the hive's daemon answers. */
    readonly isWell: (hive: Peer) => Effect.Effect<boolean>
  }
>()("rbee/queen/lifecycle/HiveLifecycle") {
  static readonly layerNoDeps = Layer.effect(
    HiveLifecycle,
    Effect.suspend(() => make)
  ).pipe(Layer.provide([DaemonLauncher.layerNoDeps, WorkerProcessFiles.layer]))
}

const requestTimeout = "1 second"

const make = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const client = yield* JobsClient
  const launcher = yield* DaemonLauncher
  const pids = yield* Pids
  const runFiles = yield* PidFile
  const workerFiles = yield* WorkerProcessFiles
  const { hive, queen, timeouts } = yield* Settings
  const remote = yield* RemoteHive
  const configured = yield* hiveTargets

  const isWell = (hive: Peer) => Effect.map(launcher.probeDaemon(hive), Option.isSome)

  const commandLine = (alias: string, hive: Peer) => {
    const { hostname, port } = new URL(hive.url)
    const queenUrl = reachableUrl(queen.host, queen.port, true)
    return ["hive", "serve", "--hive-id", alias, "--host", hostname, "--port", port, "--queen-url", queenUrl]
  }

  const startHere = Effect.fnUntraced(function* (alias: string, peer: Peer, narrate: Narrate) {
    yield* narrate("hive_start", `Starting hive '${alias}' at ${peer.url}`)
    const pid = yield* launcher.launch({ name: `hive-${alias}`, peer, args: commandLine(alias, peer) })
    yield* narrate("hive_start", `Hive '${alias}' runs, process ${pid}`)
    return { alias, state: "running", url: peer.url, pid } as const
  })

  const startThere = Effect.fnUntraced(function* (alias: string, peer: Peer, narrate: Narrate) {
    const { entry, target } = yield* configured(alias)
    // A hive elsewhere cannot reach a queen that listens for this machine only: the queen asks it instead.
    const isReachable = isLoopback(entry.hostName) || !isLoopback(queen.host)
    const queenUrl = reachableUrl(queen.host, queen.port, isLoopback(entry.hostName))
    const { pid } = yield* remote.start(target, entry, isReachable ? { queenUrl } : {}, narrate)
    yield* launcher.probeDaemon(peer).pipe(
      Effect.flatMap(Effect.fromOption),
      Effect.retry(healthPolls),
      Effect.mapError(() => new HiveNotReachable({ hive: alias, url: peer.url }))
    )
    return { alias, state: "running", url: peer.url, pid } as const
  })

  const start = Effect.fn("HiveLifecycle.start")(function* (alias: string, narrate: Narrate) {
    const { peer } = yield* registry.find(alias)
    if (yield* isWell(peer)) return { alias, state: "running", url: peer.url } as const
    const started = yield* alias === "localhost"
      ? startHere(alias, peer, narrate)
      : startThere(alias, peer, narrate)
    registry.markAlive(alias)
    return started
  })

  // Another hive may listen at the address, such as one with an id of its own.
  const isItself = (alias: string, peer: Peer) =>
    readHeartbeat(client, peer, requestTimeout).pipe(
      Effect.map(({ hive_id }) => hive_id === alias || hive_id === hive.id),
      Effect.orElseSucceed(() => false)
    )

  const stopHere = Effect.fnUntraced(function* (alias: string, peer: Peer, narrate: Narrate) {
    const running = yield* runFiles.processes(`hive-${alias}`)
    const orphans = yield* workerFiles.ofHive(alias)
    const answers = yield* isItself(alias, peer)
    if (running.length === 0 && orphans.length === 0 && !answers) {
      return yield* narrate("hive_stop", `Hive '${alias}' does not run`)
    }
    yield* narrate("hive_stop", `Stopping hive '${alias}' and its workers`)
    if (answers) yield* client.post(peer, "/v1/shutdown").pipe(Effect.timeout(requestTimeout), Effect.ignore)
    // The workers of a hive that was killed outlive it.
    for (const daemon of [...running, ...orphans]) yield* pids.terminate(daemon, timeouts.shutdown)
    yield* narrate("hive_stop", `Hive '${alias}' has stopped`)
  })

  const stop = Effect.fn("HiveLifecycle.stop")(function* (alias: string, narrate: Narrate) {
    const { peer } = yield* registry.find(alias)
    if (alias === "localhost") yield* stopHere(alias, peer, narrate)
    else {
      const { entry, target } = yield* configured(alias)
      yield* remote.stop(target, entry, narrate)
    }
    registry.markStopped(alias)
    return { alias, state: "stopped", url: peer.url } as const
  })

  // Starting and stopping take turns for each hive, and do not wait for those of another. One that is not known has none:
  // there is no end to names.
  const turns = new Map<string, Semaphore.Semaphore>()
  const inTurn = Effect.fnUntraced(function* <A, E>(alias: string, work: Effect.Effect<A, E>) {
    yield* registry.find(alias)
    const turn = turns.get(alias) ?? Semaphore.makeUnsafe(1)
    turns.set(alias, turn)
    return yield* turn.withPermit(work)
  })

  return HiveLifecycle.of({
    start: (alias, narrate) => inTurn(alias, start(alias, narrate)),
    stop: (alias, narrate) => inTurn(alias, stop(alias, narrate)),
    isWell
  })
})
