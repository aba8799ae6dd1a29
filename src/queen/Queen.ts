import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ApiKeys } from "../access/ApiKeys.ts"
import { AuditLog } from "../access/AuditLog.ts"
import { auditedRouter } from "../daemon/auditedRouter.ts"
import { daemon } from "../daemon/Daemon.ts"
import { DaemonAddress, boundUrl } from "../daemon/DaemonAddress.ts"
import { DaemonClient } from "../daemon/DaemonClient.ts"
import { daemonEnvironment, testEnvironment } from "../daemon/daemonEnvironment.ts"
import { daemonLayers } from "../daemon/daemonLayers.ts"
import { mountedDaemon, type Prefix } from "../daemon/mountedDaemon.ts"
import { recoverJobs } from "../daemon/recoverJobs.ts"
import { Shutdown } from "../daemon/Shutdown.ts"
import { gatewayHandlers, publicRoutes } from "../gateway/Gateway.ts"
import { CapabilitiesCache } from "../hives/CapabilitiesCache.ts"
import { HivesConf } from "../hives/HivesConf.ts"
import { HiveTokens } from "../hives/HiveTokens.ts"
import { hivePool } from "../http/hivePool.ts"
import { JobsClient } from "../job/client/JobsClient.ts"
import { durableJobs } from "../job/durable/DurableJobs.ts"
import { addQueenHandlers, Handlers } from "../job/Handlers.ts"
import { Jobs } from "../job/Jobs.ts"
import { Paths } from "../settings/Paths.ts"
import { Settings } from "../settings/Settings.ts"
import { DetachedProcess } from "../system/DetachedProcess.ts"
import { PidFile } from "../system/PidFile.ts"
import { Pids } from "../system/Pids.ts"
import { AutoForwarder } from "./fleet/AutoForwarder.ts"
import { Explainer } from "./fleet/Explainer.ts"
import { fleetUpstream } from "./fleet/FleetUpstream.ts"
import { HiveAttempt } from "./fleet/HiveAttempt.ts"
import { HiveForwarder } from "./forward/HiveForwarder.ts"
import { queenHandlers } from "./handlers.ts"
import { queenHttpHandlers } from "./http.ts"
import { HiveImport } from "./lifecycle/HiveImport.ts"
import { HiveLifecycle } from "./lifecycle/HiveLifecycle.ts"
import { HiveTargets } from "./lifecycle/HiveTargets.ts"
import { mountedSettings } from "./mountedSettings.ts"
import { QueenApi } from "./QueenApi.ts"
import { queenRouter } from "./QueenRouter.ts"
import { HeartbeatReceiver } from "./registry/HeartbeatReceiver.ts"
import { HiveCapabilities } from "./registry/HiveCapabilities.ts"
import { hiveHealth } from "./registry/HiveHealth.ts"
import { HiveRegistry } from "./registry/HiveRegistry.ts"
import { KnownModels } from "./registry/KnownModels.ts"
import { FleetView } from "./scheduler/FleetView.ts"
import { Loader } from "./scheduler/Loader.ts"
import { Scheduler } from "./scheduler/Scheduler.ts"
import { InstallBundle } from "./ssh/InstallBundle.ts"
import { Installer } from "./ssh/Installer.ts"
import { RemoteHive } from "./ssh/RemoteHive.ts"
import { Ssh } from "./ssh/Ssh.ts"

const remote = Installer.layerNoDeps.pipe(
  Layer.provideMerge(RemoteHive.layerNoDeps),
  Layer.provideMerge([Ssh.layerNoDeps, HiveTokens.layer, InstallBundle.layerNoDeps])
)

const scheduling = AutoForwarder.layerNoDeps.pipe(
  Layer.provideMerge(fleetUpstream),
  Layer.provideMerge(HiveAttempt.layerNoDeps),
  Layer.provideMerge(Scheduler.layerNoDeps),
  Layer.provideMerge(Loader.layerNoDeps),
  Layer.provideMerge(FleetView.layerNoDeps)
)

const jobs = Jobs.layerNoDeps.pipe(
  Layer.provide(durableJobs(Paths.use(({ state }) => Effect.succeed(path.join(state, "queen")))))
)

const services = Layer.mergeAll(
  HiveLifecycle.layerNoDeps,
  HiveCapabilities.layerNoDeps,
  HiveImport.layerNoDeps,
  HeartbeatReceiver.layerNoDeps,
  scheduling
).pipe(
  Layer.provideMerge(Layer.merge(remote, CapabilitiesCache.layer)),
  Layer.provideMerge(HiveForwarder.layerNoDeps),
  Layer.provideMerge([DaemonClient.layerNoDeps, JobsClient.layerNoDeps]),
  Layer.provideMerge([HiveRegistry.directory, KnownModels.layerNoDeps]),
  Layer.provideMerge(HiveRegistry.layerNoDeps),
  // Each daemon in a process has its own jobs and operations.
  Layer.provideMerge([Layer.fresh(jobs), Layer.fresh(Handlers.layer)])
)

const httpHandlers = Layer.merge(queenHttpHandlers, gatewayHandlers)

const keys = publicRoutes.pipe(Layer.provideMerge(ApiKeys.layerNoDeps))

const server = Layer.unwrap(
  Effect.map(Settings, ({ queen: { host, port } }) =>
    daemon({ name: "queen", host, port }, QueenApi, httpHandlers)
  )
).pipe(Layer.provide(keys))

const mounted = (prefix: Prefix) =>
  mountedDaemon({ name: "queen", prefix }, QueenApi, httpHandlers).pipe(Layer.provide(keys))

const ownHandlers = Layer.effectDiscard(Effect.flatMap(queenHandlers, addQueenHandlers)).pipe(
  Layer.provide([Explainer.layerNoDeps, HiveTargets.layerNoDeps])
)

const pidFile = Layer.effectDiscard(
  Effect.gen(function* () {
    const pidFiles = yield* PidFile
    yield* pidFiles.write("queen", yield* boundUrl)
  })
)

const layerNoDeps = recoverJobs.pipe(
  Layer.provideMerge(Layer.mergeAll(ownHandlers, pidFile, hiveHealth)),
  Layer.provideMerge(server),
  Layer.provide(auditedRouter(queenRouter)),
  Layer.provide(AuditLog.layer("queen")),
  Layer.provideMerge(services)
)

const routesNoDeps = (prefix: Prefix) =>
  recoverJobs.pipe(
    Layer.provideMerge(Layer.merge(ownHandlers, hiveHealth)),
    Layer.provideMerge(mounted(prefix)),
    Layer.provide(auditedRouter(queenRouter)),
    Layer.provide(AuditLog.layer("queen")),
    Layer.provideMerge(services),
    Layer.provide(mountedSettings(prefix))
  )

const machineWith = <E, R>(hivesConf: Layer.Layer<HivesConf, E, R>) =>
  Layer.mergeAll(hivesConf, PidFile.layer, DetachedProcess.layer).pipe(
    Layer.provideMerge(Pids.layer),
    Layer.provideMerge(hivePool)
  )

/** The services that an application gets from a queen; all others stay inside of it. */
export type QueenServices = DaemonAddress | Handlers | HiveForwarder | HiveRegistry | Jobs | Shutdown

// Nothing listens there: a queen takes what answers at the hive's usual port for its own `localhost`.
const unusedHivePort = 9

const { layerTest, layerWith, routes, routesTest } = daemonLayers({
  layerNoDeps,
  routesNoDeps,
  environment: (overrides, tokenFile) =>
    Layer.provideMerge(machineWith(HivesConf.layer), daemonEnvironment(overrides, tokenFile)),
  testEnvironment: (changes) =>
    Layer.provideMerge(
      machineWith(HivesConf.layerMemory([])),
      testEnvironment({
        ...changes,
        queen: { port: 0, ...changes.queen },
        hive: { port: unusedHivePort, ...changes.hive }
      })
    ),
  offer: Context.pick(DaemonAddress, Handlers, HiveForwarder, HiveRegistry, Jobs, Shutdown)
})

/** The queen: its HTTP server, its services, and `Handlers`, to which an application adds its own. */
export const Queen = {
  /** Needs the settings, the token, an `HttpClient`, and the services of the machine. */
  layerNoDeps,
  /** With settings that override environment and file, such as `{ "queen.port": "8500" }`, and a token file. */
  layerWith,
  /** With everything from the environment and the configuration folder. */
  layer: layerWith({}),
  /**
   * For tests: on a free port of loopback, with default settings besides the changes, without token and configured hives,
   * its files in a folder that is removed at the end. `boundUrl` has its address.
   */
  layerTest,
  /**
   * The queen without an HTTP server of its own: its endpoints below a path of the application's `HttpRouter`, such as `/llm`;
   * all other paths stay the application's. Clients use the address with the path, `http://127.0.0.1:3000/llm`, as base URL.
   * Fails if the application's server listens on an address that is not loopback and the queen has no token. The queen
   * writes no pid file, and `POST /v1/shutdown` only completes `Shutdown`. Build `endStreams` above the application's
   * server, so that streams end before the server closes.
   */
  routes,
  /** Like `routes`; needs what `layerNoDeps` needs, besides the application's router and server. */
  routesNoDeps,
  /** For tests: like `routes`, in the environment of `layerTest`. */
  routesTest
}
