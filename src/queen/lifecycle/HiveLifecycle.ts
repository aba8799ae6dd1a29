import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import { DaemonLauncher, type DaemonNotStarted, healthPolls } from "../../daemon/DaemonLauncher.ts"
import { MountPath } from "../../daemon/MountPath.ts"
import type { Peer } from "../../job/client/Peer.ts"
import type { Narrate } from "../../job/withNarration.ts"
import { Settings } from "../../settings/Settings.ts"
import type { SpawnFailed } from "../../system/DetachedProcess.ts"
import { isLoopback } from "../../system/loopback.ts"
import { reachableUrl } from "../../system/reachableUrl.ts"
import { HiveNotReachable, type HiveNotConfigured, type HiveNotFound } from "../forward/errors.ts"
import { HiveRegistry } from "../registry/HiveRegistry.ts"
import type { RemoteHiveError } from "../ssh/installErrors.ts"
import { RemoteHive } from "../ssh/RemoteHive.ts"
import { HiveTargets } from "./HiveTargets.ts"
import { LocalHive } from "./LocalHive.ts"

/** The result of starting or stopping a hive. */
export type HiveChange = {
  readonly alias: string
  readonly state: "running" | "stopped"
  readonly url: string
  readonly pid?: number
}

/** Starts and stops hive daemons, locally and over ssh. Starting a running hive, or stopping a stopped one, succeeds. */
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
    /** Whether the hive's daemon answers a health check. */
    readonly isHealthy: (hive: Peer) => Effect.Effect<boolean>
  }
>()("rbee/queen/lifecycle/HiveLifecycle") {
  static readonly layerNoDeps = Layer.effect(
    HiveLifecycle,
    Effect.suspend(() => make)
  ).pipe(Layer.provide([LocalHive.layer, HiveTargets.layerNoDeps, DaemonLauncher.layerNoDeps]))
}

const running = (alias: string, { url }: Peer, pid: number): HiveChange => ({
  alias,
  state: "running",
  url,
  pid
})

const make = Effect.gen(function* () {
  const registry = yield* HiveRegistry
  const launcher = yield* DaemonLauncher
  const mountPath = yield* MountPath
  const local = yield* LocalHive
  const { queen } = yield* Settings
  const remote = yield* RemoteHive
  const targets = yield* HiveTargets

  const isHealthy = (hive: Peer) =>
    Effect.match(launcher.probeDaemon(hive), { onFailure: () => false, onSuccess: Option.isSome })

  const startRemote = Effect.fnUntraced(function* (alias: string, peer: Peer, narrate: Narrate) {
    const { entry, target } = yield* targets.find(alias)
    // A remote hive cannot reach a queen on a loopback address; the queen probes the hive instead.
    const isReachable = isLoopback(entry.hostName) || !isLoopback(queen.host)
    const queenUrl = reachableUrl(queen.host, queen.port, isLoopback(entry.hostName)) + mountPath
    const { pid } = yield* remote.start(target, entry, isReachable ? { queenUrl } : {}, narrate)
    yield* isHealthy(peer).pipe(
      Effect.filterOrFail((healthy) => healthy),
      Effect.retry(healthPolls),
      Effect.mapError(() => new HiveNotReachable({ hive: alias, url: peer.url }))
    )
    return running(alias, peer, pid)
  })

  const start = Effect.fn("HiveLifecycle.start")(function* (alias: string, narrate: Narrate) {
    const { peer } = yield* registry.find(alias)
    if (yield* isHealthy(peer)) return { alias, state: "running", url: peer.url } as const
    const started = yield* alias === "localhost"
      ? Effect.map(local.start(alias, peer, narrate), (pid) => running(alias, peer, pid))
      : startRemote(alias, peer, narrate)
    registry.markAlive(alias)
    return started
  })

  const stop = Effect.fn("HiveLifecycle.stop")(function* (alias: string, narrate: Narrate) {
    const { peer } = yield* registry.find(alias)
    if (alias === "localhost") yield* local.stop(alias, peer, narrate)
    else {
      const { entry, target } = yield* targets.find(alias)
      yield* remote.stop(target, entry, narrate)
    }
    registry.markStopped(alias)
    return { alias, state: "stopped", url: peer.url } as const
  })

  // One start or stop at a time for each hive. Unknown hives get no lock, so that the map is bounded.
  const locks = new Map<string, Semaphore.Semaphore>()
  const exclusively = Effect.fnUntraced(function* <A, E>(alias: string, work: Effect.Effect<A, E>) {
    yield* registry.find(alias)
    const lock = locks.get(alias) ?? Semaphore.makeUnsafe(1)
    locks.set(alias, lock)
    return yield* lock.withPermit(work)
  })

  return HiveLifecycle.of({
    start: (alias, narrate) => exclusively(alias, start(alias, narrate)),
    stop: (alias, narrate) => exclusively(alias, stop(alias, narrate)),
    isHealthy
  })
})
