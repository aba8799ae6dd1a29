import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { Token } from "../../access/Token.ts"
import { AccessRules } from "../../daemon/Access.ts"
import { isolated } from "../../daemon/Daemon.ts"
import { DaemonAddress } from "../../daemon/DaemonAddress.ts"
import { Shutdown } from "../../daemon/Shutdown.ts"
import { errorResponse } from "../../daemon/wireError.ts"
import { workerPool } from "../../http/workerPool.ts"
import { Paths } from "../../settings/Paths.ts"
import { type SettingOverrides, Settings } from "../../settings/Settings.ts"
import { DetachedProcess } from "../../system/DetachedProcess.ts"
import { PidFile } from "../../system/PidFile.ts"
import { Pids } from "../../system/Pids.ts"
import { programFile } from "../../system/Program.ts"
import { injectFaults } from "../../worker/mock/injectFaults.ts"
import { MockFaults } from "../../worker/mock/MockFaults.ts"
import type { MockMode } from "../../worker/mock/MockMode.ts"
import { addModeRoutes } from "../../worker/mock/modeRoutes.ts"
import { Device, Devices } from "../devices/Devices.ts"
import type { Engine } from "../engines/Engine.ts"
import { Engines } from "../engines/Engines.ts"
import { Hive } from "../Hive.ts"
import { writeMockModels } from "./mockModels.ts"
import { wrongModels } from "./wrongModels.ts"

/** What a mock hive has, and the mode in which it starts. */
export interface MockHiveOptions {
  readonly id: string
  /** The ids of its models besides `rbee:tiny`. */
  readonly models: ReadonlyArray<string>
  readonly mode: MockMode
  /** The flags of its workers besides port, model, context and slots. */
  readonly workerFlags: ReadonlyArray<string>
  readonly settings: SettingOverrides
  readonly tokenFile: string | undefined
}

const engineName = "mock"
const garbage = 'event: chunk\ndata: {"choices":[{"delta":{"content":\n\n'
const memoryBytes = 64 * 1024 ** 3

const device = new Device({
  id: "CPU-0",
  name: "Mock CPU",
  device_type: "cpu",
  vram_gb: 64,
  vram_bytes: memoryBytes,
  compute_capability: null,
  backend: "cpu",
  index: 0,
  total_bytes: memoryBytes,
  free_bytes: memoryBytes
})

const engine = (workerFlags: ReadonlyArray<string>): Engine => ({
  name: engineName,
  cancellation: { _tag: "Delete" },
  backends: ["cpu"],
  install: "it is part of rbee",
  readyPath: "/health",
  capabilities: () => ({
    chat: true,
    completions: true,
    embeddings: false,
    rerank: false,
    tools: false,
    images: false,
    json_schema: false,
    reasoning: false
  }),
  command: ({ contextSize, model, parallel }, port) => ({
    command: process.execPath,
    args: [
      programFile,
      "mock",
      "worker",
      "--port",
      String(port),
      "--model",
      model,
      "--ctx-size",
      String(contextSize),
      "--parallel",
      String(parallel),
      ...workerFlags
    ]
  })
})

const modeRoutes = Layer.effectDiscard(
  Effect.flatMap(AccessRules, (rules) =>
    addModeRoutes((respond) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
        Effect.matchEffect(rules.daemon(request), {
          onSuccess: () => respond,
          onFailure: (error) => Effect.succeed(errorResponse(error))
        })
      )
    )
  )
)

/** The usual folders, but models of its own, so that a real hive on this machine does not list them. */
const pathsOf = ({ id, models }: MockHiveOptions) =>
  Layer.effect(
    Paths,
    Effect.gen(function* () {
      const { config, state } = yield* Paths
      const path = yield* Path.Path
      const data = path.join(state, "mock-hives", id)
      yield* writeMockModels(path.join(data, "models"), models)
      return Paths.of({ config, state, data })
    })
  ).pipe(Layer.provide(Paths.layer))

/** A hive whose workers are mock workers, and which injects faults into its own answers. */
export const mockHive = (options: MockHiveOptions) => {
  const faults = Layer.mergeAll(modeRoutes, wrongModels, injectFaults(garbage)).pipe(
    Layer.provide(MockFaults.layer(options.mode))
  )
  return Hive.layerExtended(faults).pipe(
    Layer.provide(
      Layer.mergeAll(
        PidFile.layer,
        DetachedProcess.layer,
        Devices.layerMemory([device]),
        Engines.layerMemory([engine(options.workerFlags)])
      ).pipe(Layer.provideMerge(Pids.layer), Layer.provideMerge(workerPool))
    ),
    Layer.provideMerge(
      Layer.mergeAll(
        Settings.layerWith({ ...options.settings, "hive.id": options.id, "engine.name": engineName }),
        Token.layerWith(options.tokenFile)
      )
    ),
    Layer.provideMerge(pathsOf(options)),
    Layer.provideMerge(NodeServices.layer),
    (layer) => isolated(layer, Context.pick(DaemonAddress, Shutdown))
  )
}
