import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ApiKeys } from "../access/ApiKeys.ts"
import { AuditLog } from "../access/AuditLog.ts"
import { Token } from "../access/Token.ts"
import { auditedRouter } from "../daemon/auditedRouter.ts"
import { daemon, isolated } from "../daemon/Daemon.ts"
import { DaemonAddress, boundUrl } from "../daemon/DaemonAddress.ts"
import { Shutdown } from "../daemon/Shutdown.ts"
import { testEnvironment } from "../daemon/testEnvironment.ts"
import { gatewayHandlers, publicRoutes } from "../gateway/Gateway.ts"
import { CapabilitiesCache } from "../hives/CapabilitiesCache.ts"
import { HivesConf } from "../hives/HivesConf.ts"
import { HiveTokens } from "../hives/HiveTokens.ts"
import { hivePool } from "../http/hivePool.ts"
import { JobsClient } from "../job/client/JobsClient.ts"
import { addQueenHandlers, Handlers } from "../job/Handlers.ts"
import { Jobs } from "../job/Jobs.ts"
import { Paths } from "../settings/Paths.ts"
import { type SettingChanges, type SettingOverrides, Settings } from "../settings/Settings.ts"
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

const services = Layer.mergeAll(
  HiveLifecycle.layerNoDeps,
  HiveCapabilities.layerNoDeps,
  HiveImport.layerNoDeps,
  HeartbeatReceiver.layerNoDeps,
  scheduling
).pipe(
  Layer.provideMerge(Layer.merge(remote, CapabilitiesCache.layer)),
  Layer.provideMerge(HiveForwarder.layerNoDeps),
  Layer.provideMerge(JobsClient.layerNoDeps),
  Layer.provideMerge([HiveRegistry.directory, KnownModels.layerNoDeps]),
  Layer.provideMerge(HiveRegistry.layerNoDeps),
  // Each daemon in a process has its own jobs and operations.
  Layer.provideMerge([Layer.fresh(Jobs.layer), Layer.fresh(Handlers.layer)])
)

const server = Layer.unwrap(
  Settings.use(({ queen }) =>
    Effect.succeed(
      daemon(
        { name: "queen", host: queen.host, port: queen.port },
        QueenApi,
        Layer.merge(queenHttpHandlers, gatewayHandlers)
      )
    )
  )
).pipe(Layer.provide(publicRoutes), Layer.provide(ApiKeys.layerNoDeps))

const ownHandlers = Layer.effectDiscard(Effect.flatMap(queenHandlers, addQueenHandlers)).pipe(
  Layer.provide([Explainer.layerNoDeps, HiveTargets.layerNoDeps])
)

const pidFile = Layer.effectDiscard(
  Effect.gen(function* () {
    const pidFiles = yield* PidFile
    yield* pidFiles.write("queen", yield* boundUrl)
  })
)

const layerNoDeps = Layer.mergeAll(ownHandlers, pidFile, hiveHealth).pipe(
  Layer.provideMerge(server),
  Layer.provide(auditedRouter(queenRouter)),
  Layer.provide(AuditLog.layer("queen")),
  Layer.provideMerge(services)
)

const machine = Layer.mergeAll(HivesConf.layer, PidFile.layer, DetachedProcess.layer).pipe(
  Layer.provideMerge(Pids.layer),
  Layer.provideMerge(hivePool)
)

/** The services that an application gets from a queen; all others stay inside of it. */
export type QueenServices = DaemonAddress | Handlers | HiveForwarder | HiveRegistry | Jobs | Shutdown

const offered = Context.pick(DaemonAddress, Handlers, HiveForwarder, HiveRegistry, Jobs, Shutdown)

const layerWith = (overrides: SettingOverrides, tokenFile?: string) =>
  layerNoDeps.pipe(
    Layer.provide(machine),
    Layer.provideMerge(Layer.mergeAll(Settings.layerWith(overrides), Token.layerWith(tokenFile))),
    Layer.provideMerge(Paths.layer),
    Layer.provideMerge(NodeServices.layer),
    (layer) => isolated(layer, offered)
  )

// Nothing listens there: a queen takes what answers at the hive's usual port for its own `localhost`.
const unusedHivePort = 9

const layerTest = (changes: SettingChanges = {}) =>
  layerNoDeps.pipe(
    Layer.provide(
      Layer.mergeAll(HivesConf.layerMemory([]), PidFile.layer, DetachedProcess.layer).pipe(
        Layer.provideMerge(Pids.layer),
        Layer.provideMerge(hivePool)
      )
    ),
    Layer.provideMerge(
      testEnvironment({
        ...changes,
        queen: { port: 0, ...changes.queen },
        hive: { port: unusedHivePort, ...changes.hive }
      })
    ),
    (layer) => isolated(layer, offered)
  )

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
  layerTest
}
