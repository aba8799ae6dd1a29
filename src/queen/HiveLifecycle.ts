import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import type { SpawnFailed } from "../config/DetachedProcess.ts"
import { Pids } from "../config/Pids.ts"
import { RunFile } from "../config/RunFile.ts"
import { Settings } from "../config/Settings.ts"
import { WorkerProcessFiles } from "../config/WorkerProcessFiles.ts"
import { DaemonLauncher, type DaemonNotStarted } from "../job/DaemonLauncher.ts"
import { JobsClient, type Peer } from "../job/JobsClient.ts"
import type { Say } from "../job/narrated.ts"
import { NotSupported } from "../operation/errors.ts"
import type { HiveNotFound } from "./errors.ts"
import { HiveRegistry } from "./HiveRegistry.ts"

/** What starting or stopping came to. */
export type HiveChange = {
  readonly alias: string
  readonly state: "running" | "stopped"
  readonly url: string
  readonly pid?: number
}

/** Starts and stops the daemons of hives. What runs already, or does not run, is a success. */
export class HiveLifecycle extends Context.Service<
  HiveLifecycle,
  {
    readonly start: (
      alias: string,
      say: Say
    ) => Effect.Effect<HiveChange, DaemonNotStarted | HiveNotFound | NotSupported | SpawnFailed>
    readonly stop: (alias: string, say: Say) => Effect.Effect<HiveChange, HiveNotFound | NotSupported>
    /** Whether the hive's daemon answers. */
    readonly isWell: (hive: Peer) => Effect.Effect<boolean>
  }
>()("rbee/queen/HiveLifecycle") {
  static readonly layerNoDeps = Layer.effect(
    HiveLifecycle,
    Effect.suspend(() => make)
  ).pipe(Layer.provide([DaemonLauncher.layerNoDeps, WorkerProcessFiles.layer]))
}

const askWithin = "1 second"

const make = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const client = yield* JobsClient
  const launcher = yield* DaemonLauncher
  const pids = yield* Pids
  const runFiles = yield* RunFile
  const workerFiles = yield* WorkerProcessFiles
  const { queen, timeouts } = yield* Settings
  const oneAtATime = yield* Semaphore.make(1)

  const isWell = (hive: Peer) => Effect.map(launcher.whoAnswers(hive), Option.isSome)

  const onlyLocal = (alias: string, operation: string, instead: string) =>
    alias === "localhost" ? Effect.void : Effect.fail(new NotSupported({ operation, instead }))

  const commandLine = (alias: string, hive: Peer) => {
    const { hostname, port } = new URL(hive.url)
    const queenUrl = `http://${queen.host}:${queen.port}`
    return ["hive", "serve", "--hive-id", alias, "--host", hostname, "--port", port, "--queen-url", queenUrl]
  }

  const start = Effect.fn("HiveLifecycle.start")(function* (alias: string, say: Say) {
    const { peer } = yield* registry.find(alias)
    if (yield* isWell(peer)) return { alias, state: "running", url: peer.url } as const
    yield* onlyLocal(alias, "hive_start", `start 'rbee hive serve --hive-id ${alias}' on that machine`)
    yield* say("hive_start", `Starting hive '${alias}' at ${peer.url}`)
    const pid = yield* launcher.launch({ name: `hive-${alias}`, peer, args: commandLine(alias, peer) })
    yield* say("hive_start", `Hive '${alias}' runs, process ${pid}`)
    return { alias, state: "running", url: peer.url, pid } as const
  })

  const stop = Effect.fn("HiveLifecycle.stop")(function* (alias: string, say: Say) {
    const { peer } = yield* registry.find(alias)
    yield* onlyLocal(alias, "hive_stop", `run 'rbee stop' on that machine`)
    const running = yield* runFiles.processes(`hive-${alias}`)
    const orphans = yield* workerFiles.ofHive(alias)
    if (running.length === 0 && orphans.length === 0 && !(yield* isWell(peer))) {
      yield* say("hive_stop", `Hive '${alias}' does not run`)
      return { alias, state: "stopped", url: peer.url } as const
    }
    yield* say("hive_stop", `Stopping hive '${alias}' and its workers`)
    yield* client.post(peer, "/v1/shutdown").pipe(Effect.timeout(askWithin), Effect.ignore)
    // The workers of a hive that was killed outlive it.
    for (const daemon of [...running, ...orphans]) yield* pids.terminate(daemon, timeouts.shutdown)
    yield* say("hive_stop", `Hive '${alias}' has stopped`)
    return { alias, state: "stopped", url: peer.url } as const
  })

  return HiveLifecycle.of({
    start: (alias, say) => oneAtATime.withPermit(start(alias, say)),
    stop: (alias, say) => oneAtATime.withPermit(stop(alias, say)),
    isWell
  })
})
