import { Context, Effect, Layer } from "effect"
import type { NewApiKey } from "../../src/access/ApiKey.ts"
import { ApiKeys } from "../../src/access/ApiKeys.ts"
import { Token } from "../../src/access/Token.ts"
import { daemon } from "../../src/daemon/Daemon.ts"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { DaemonApi } from "../../src/daemon/DaemonApi.ts"
import { gatewayHandlers, publicRoutes } from "../../src/gateway/Gateway.ts"
import { GatewayApi } from "../../src/gateway/GatewayApi.ts"
import {
  type GatewayRequest,
  pickModel,
  publicModels,
  Upstream
} from "../../src/gateway/upstream/Upstream.ts"
import { Handlers } from "../../src/job/Handlers.ts"
import { Jobs } from "../../src/job/Jobs.ts"
import { OperationRouter } from "../../src/job/OperationRouter.ts"
import { streamWork, type Submission } from "../../src/job/Submission.ts"
import { UnknownOperation } from "../../src/operation/errors.ts"
import type { StoredModel } from "../../src/operation/Inventory.ts"
import type { AliasSetting } from "../../src/settings/AliasSettings.ts"
import { type SettingChanges, Settings } from "../../src/settings/Settings.ts"
import type { StreamWork } from "./jobs.ts"

/** What a hive tells of a model of the name. */
export const storedModel = (id: string): StoredModel => ({
  id,
  size_bytes: 2_500_000,
  memory_bytes: 20_000_000,
  worker_context: 512,
  worker_slots: 4,
  token_bytes: 1024,
  architecture: "llama",
  parameters: 2_361_024,
  context_length: 512,
  quantisation: "Q8_0",
  chat_template: true,
  sha256: "ab".repeat(32),
  downloaded_at: "2026-01-02T03:04:05.000Z"
})

export interface GatewayUnderTest {
  /** The fake of the models behind the endpoints. */
  readonly complete?: (request: GatewayRequest) => StreamWork
  readonly models?: ReadonlyArray<string>
  readonly aliases?: Readonly<Record<string, AliasSetting>>
  readonly keys?: ReadonlyArray<NewApiKey & { readonly key: string }>
  readonly token?: string
  readonly settings?: SettingChanges
  /** The fake of the daemon's operations. */
  readonly route?: (body: string) => Submission | undefined
}

const fakeUpstream = ({ aliases = {}, complete, models = ["rbee:tiny"] }: GatewayUnderTest) => {
  const known = publicModels([{ hive: "atlas", models: models.map(storedModel) }], aliases)
  return Layer.succeed(
    Upstream,
    Upstream.of({
      models: Effect.succeed(known),
      find: (name) => Effect.fromResult(pickModel(known, name)),
      workers: Effect.succeed([]),
      complete: (request) => {
        request.onPlaced({ hive: "atlas", worker: "tiny-1", queueMs: 3.4, loadMs: 1.6 })
        if (complete === undefined) throw new Error("nothing was to be asked of a worker")
        return streamWork(complete(request))
      }
    })
  )
}

const fakeRouter = ({ route }: GatewayUnderTest) =>
  Layer.succeed(
    OperationRouter,
    OperationRouter.of({
      route: (body) => {
        const submission = route?.(body)
        return submission === undefined
          ? Effect.fail(new UnknownOperation({ operation: body.slice(0, 64), known: [] }))
          : Effect.succeed(submission)
      }
    })
  )

/** The endpoints of a daemon with a gateway. */
export const TestApi = DaemonApi.addHttpApi(GatewayApi)

/** The endpoints for applications on a real socket, over a fake of the models behind them; they close with the scope. */
export const startGateway = Effect.fnUntraced(function* (options: GatewayUnderTest) {
  const layer = daemon({ name: "test", host: "127.0.0.1", port: 0 }, TestApi, gatewayHandlers).pipe(
    Layer.provide(publicRoutes),
    Layer.provide([ApiKeys.layerMemory(options.keys), fakeUpstream(options), fakeRouter(options)]),
    Layer.provideMerge(Jobs.layer),
    Layer.provide(Layer.fresh(Handlers.layer)),
    Layer.provideMerge(
      Layer.mergeAll(Settings.layerDefaults(options.settings), Token.layerMemory(options.token))
    )
  )
  const context = yield* Layer.build(layer)
  return { url: yield* Effect.provideContext(boundUrl, context), jobs: Context.get(context, Jobs) }
})
