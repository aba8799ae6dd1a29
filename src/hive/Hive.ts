import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import { ApiKeys } from "../access/ApiKeys.ts"
import { AuditLog } from "../access/AuditLog.ts"
import type { AccessRules } from "../daemon/Access.ts"
import { auditedRouter } from "../daemon/auditedRouter.ts"
import { checkPort, daemon } from "../daemon/Daemon.ts"
import { DaemonAddress, boundUrl } from "../daemon/DaemonAddress.ts"
import { DaemonClient } from "../daemon/DaemonClient.ts"
import { daemonEnvironment, testEnvironment } from "../daemon/daemonEnvironment.ts"
import { daemonLayers } from "../daemon/daemonLayers.ts"
import { mountedDaemon, type Prefix } from "../daemon/mountedDaemon.ts"
import { recoverJobs } from "../daemon/recoverJobs.ts"
import { Shutdown } from "../daemon/Shutdown.ts"
import { gatewayHandlers, publicRoutes } from "../gateway/Gateway.ts"
import { workerPool } from "../http/workerPool.ts"
import { durableJobs } from "../job/durable/DurableJobs.ts"
import { addHiveHandlers, Handlers } from "../job/Handlers.ts"
import { Jobs } from "../job/Jobs.ts"
import { Paths } from "../settings/Paths.ts"
import { Settings } from "../settings/Settings.ts"
import { DetachedProcess } from "../system/DetachedProcess.ts"
import { PidFile } from "../system/PidFile.ts"
import { Pids } from "../system/Pids.ts"
import { Devices } from "./devices/Devices.ts"
import { Downloads } from "./download/Downloads.ts"
import { Fetcher } from "./download/Fetcher.ts"
import { ModelSources } from "./download/ModelSources.ts"
import { Transfer } from "./download/Transfer.ts"
import { Engines } from "./engines/Engines.ts"
import { hiveHandlers } from "./handlers.ts"
import { heartbeat, HeartbeatSource } from "./Heartbeat.ts"
import { HiveApi } from "./HiveApi.ts"
import { hiveRouter } from "./HiveRouter.ts"
import { hiveUpstream } from "./HiveUpstream.ts"
import { hiveHttpHandlers } from "./http.ts"
import { Completions } from "./inference/Completions.ts"
import { Infer } from "./inference/Infer.ts"
import { ResumedAnswers } from "./inference/ResumedAnswers.ts"
import { Inventory } from "./Inventory.ts"
import { Models } from "./models/Models.ts"
import { ModelStore } from "./ModelStore.ts"
import { FreePorts } from "./workers/FreePorts.ts"
import { WorkerClient } from "./workers/WorkerClient.ts"
import { WorkerLog } from "./workers/WorkerLog.ts"
import { WorkerProcesses } from "./workers/WorkerProcesses.ts"
import { Workers } from "./workers/Workers.ts"
import { WorkerStore } from "./workers/WorkerStore.ts"

const models = Layer.unwrap(
  Effect.gen(function* () {
    const { data } = yield* Paths
    const folder = path.join(data, "models")
    return Layer.merge(Models.layerNoDeps(folder), Downloads.layerNoDeps(folder))
  })
).pipe(
  Layer.provide(Layer.merge(ModelSources.layerNoDeps, Transfer.layerNoDeps)),
  Layer.provide(Fetcher.layerNoDeps)
)

const jobs = Jobs.layerNoDeps.pipe(
  Layer.provide(
    durableJobs(
      Effect.gen(function* () {
        const { state } = yield* Paths
        const { hive } = yield* Settings
        return path.join(state, "hives", hive.id, "hive")
      })
    )
  )
)

const services = Layer.mergeAll(
  Infer.layerNoDeps,
  ResumedAnswers.layerNoDeps,
  hiveUpstream.pipe(Layer.provideMerge([Completions.layerNoDeps, Inventory.layerNoDeps])),
  ModelStore.layerNoDeps,
  WorkerLog.layerNoDeps
).pipe(
  Layer.provideMerge(HeartbeatSource.layerNoDeps),
  Layer.provideMerge(Workers.layerNoDeps),
  Layer.provideMerge(WorkerProcesses.layerNoDeps),
  Layer.provideMerge([WorkerStore.layerNoDeps, WorkerClient.layerNoDeps, FreePorts.layer]),
  Layer.provideMerge(models),
  // Each daemon in a process has its own jobs and operations.
  Layer.provideMerge([Layer.fresh(jobs), Layer.fresh(Handlers.layer)])
)

/** Routes and global middlewares that a hive's server has besides its endpoints. */
export type HiveExtension = Layer.Layer<never, never, AccessRules | HttpRouter.HttpRouter>

const httpHandlers = Layer.merge(hiveHttpHandlers, gatewayHandlers)

const keys = publicRoutes.pipe(Layer.provideMerge(ApiKeys.layerNoDeps))

const serverWith = (extension: HiveExtension) =>
  Layer.unwrap(
    Effect.map(Settings, ({ hive: { host, port } }) =>
      daemon({ name: "hive", host, port }, HiveApi, Layer.merge(httpHandlers, extension))
    )
  ).pipe(Layer.provide(keys))

const mounted = (prefix: Prefix) =>
  mountedDaemon({ name: "hive", prefix }, HiveApi, httpHandlers).pipe(Layer.provide(keys))

const ownHandlers = Layer.effectDiscard(Effect.flatMap(hiveHandlers, addHiveHandlers))

const audit = Layer.unwrap(Effect.map(Settings, ({ hive }) => AuditLog.layer(`hive ${hive.id}`)))

const pidFile = Layer.effectDiscard(
  Effect.gen(function* () {
    const { hive } = yield* Settings
    const pidFiles = yield* PidFile
    yield* pidFiles.write(`hive-${hive.id}`, yield* boundUrl)
  })
)

const heartbeats = Layer.provide(heartbeat, DaemonClient.layerNoDeps)

const layerExtended = (extension: HiveExtension) =>
  recoverJobs.pipe(
    Layer.provideMerge(Layer.mergeAll(ownHandlers, heartbeats, pidFile)),
    Layer.provideMerge(serverWith(extension)),
    Layer.provide(auditedRouter(hiveRouter)),
    Layer.provide(audit),
    Layer.provideMerge(services),
    // A hive that cannot listen must not adopt the workers of the running one.
    Layer.provide(Layer.effectDiscard(Effect.flatMap(Settings, ({ hive }) => checkPort(hive))))
  )

const layerNoDeps = layerExtended(Layer.empty)

const routesNoDeps = (prefix: Prefix) =>
  recoverJobs.pipe(
    Layer.provideMerge(Layer.merge(ownHandlers, heartbeats)),
    Layer.provideMerge(mounted(prefix)),
    Layer.provide(auditedRouter(hiveRouter)),
    Layer.provide(audit),
    Layer.provideMerge(services)
  )

const machine = Layer.mergeAll(PidFile.layer, DetachedProcess.layer, Devices.layerNoDeps).pipe(
  Layer.provideMerge(Pids.layer),
  Layer.provideMerge(workerPool),
  Layer.merge(Engines.layerNoDeps)
)

/** The services that an application gets from a hive; all others stay inside of it. */
export type HiveServices = DaemonAddress | Handlers | Inventory | Jobs | Shutdown

const { layerTest, layerWith, routes, routesTest } = daemonLayers({
  layerNoDeps,
  routesNoDeps,
  environment: (overrides, tokenFile) => Layer.provideMerge(machine, daemonEnvironment(overrides, tokenFile)),
  testEnvironment: (changes) =>
    Layer.provideMerge(machine, testEnvironment({ ...changes, hive: { port: 0, ...changes.hive } })),
  offer: Context.pick(DaemonAddress, Handlers, Inventory, Jobs, Shutdown)
})

/** A hive: its HTTP server, all services behind it, and `Handlers`, to which an application adds its own operations. */
export const Hive = {
  /** Needs the engines, the devices, the settings, the token, an `HttpClient`, and the services of `src/system`. */
  layerNoDeps,
  /** `layerNoDeps` with more routes and middlewares on the hive's port. A route checks its caller with `AccessRules`. */
  layerExtended,
  /** With settings that override environment and file, such as `{ "hive.port": "8081" }`, and a token file. */
  layerWith,
  /** With all settings from the environment and the configuration folder. */
  layer: layerWith({}),
  /**
   * For tests: on a free port of loopback, with default settings besides the changes, such as `{ hive: { id, queenUrl } }`,
   * without token, its files in a folder that is removed at the end. `boundUrl` has its address.
   */
  layerTest,
  /**
   * The hive without an HTTP server of its own: its endpoints below a path of the application's `HttpRouter`, such as `/hive`;
   * all other paths stay the application's. Its heartbeat reports the address with the path. Fails if the application's
   * server listens on an address that is not loopback and the hive has no token. The hive writes no pid file, and
   * `POST /v1/shutdown` only completes `Shutdown`. Build `endStreams` above the application's server, so that streams end
   * before the server closes.
   */
  routes,
  /** Like `routes`; needs what `layerNoDeps` needs, besides the application's router and server. */
  routesNoDeps,
  /** For tests: like `routes`, in the environment of `layerTest`. */
  routesTest
}
