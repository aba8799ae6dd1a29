import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Settings } from "../config/Settings.ts"
import { publicModels, Upstream } from "../gateway/Upstream.ts"
import { Complete } from "../operation/Operation.ts"
import { Completions } from "./Completions.ts"
import { Inventory } from "./Inventory.ts"

/** The hive's own workers behind its front doors: a model that has none gets one, if there is room. */
export const hiveUpstream = Layer.effect(
  Upstream,
  Effect.gen(function* () {
    const completions = yield* Completions
    const inventory = yield* Inventory
    const clock = yield* Clock.Clock
    const { aliases, hive } = yield* Settings
    return Upstream.of({
      models: Effect.map(inventory.take, ({ models }) => publicModels(models, aliases)),
      workers: Effect.map(inventory.take, ({ workers }) =>
        workers.map((worker) => ({ hive: hive.id, worker }))
      ),
      complete:
        ({ api, body, model, onPlaced }) =>
        (job) => {
          const askedAt = clock.currentTimeMillisUnsafe()
          const operation = new Complete({ hive_id: hive.id, model: model.id, api, body })
          return completions.run(operation, job, (worker) => {
            const queueMs = clock.currentTimeMillisUnsafe() - askedAt
            onPlaced({ hive: hive.id, worker, queueMs, loadMs: 0 })
          })
        }
    })
  })
)
