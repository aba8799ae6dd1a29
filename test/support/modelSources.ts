import { NodeServices } from "@effect/platform-node"
import { ConfigProvider, Effect, Layer } from "effect"
import { Fetcher } from "../../src/hive/download/Fetcher.ts"
import { ModelSources } from "../../src/hive/download/ModelSources.ts"
import * as ModelId from "../../src/hive/models/ModelId.ts"
import { Settings } from "../../src/settings/Settings.ts"

/** Resolves ids against servers on loopback, with an environment of its own. */
export const resolving =
  (
    { settings }: { readonly settings: { readonly hfEndpoint?: string; readonly ollamaRegistry?: string } },
    env: Readonly<Record<string, string>> = {}
  ) =>
  (id: string) =>
    Effect.flatMap(Effect.orDie(Effect.fromResult(ModelId.parse(id))), (parsed) =>
      ModelSources.use((sources) => sources.resolve(parsed))
    ).pipe(
      Effect.provide(
        ModelSources.layerNoDeps.pipe(
          Layer.provide(Fetcher.layerNoDeps),
          Layer.provide(Settings.layerDefaults({ models: settings })),
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
          Layer.provide(NodeServices.layer)
        )
      )
    )
