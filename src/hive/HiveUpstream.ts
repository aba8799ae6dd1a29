import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Settings } from "../config/Settings.ts"
import { requestedContext } from "../gateway/requestedContext.ts"
import { pickModel, publicModels, Upstream } from "../gateway/Upstream.ts"
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
    const { aliases, hive, timeouts } = yield* Settings
    const models = Effect.map(inventory.models, (models) =>
      publicModels([{ hive: hive.id, models }], aliases)
    )
    return Upstream.of({
      models,
      find: (name) => Effect.flatMap(models, (known) => Effect.fromResult(pickModel(known, name))),
      workers: Effect.map(inventory.take, ({ workers }) =>
        workers.map((worker) => ({ hive: hive.id, worker }))
      ),
      complete:
        ({ api, body, contextSize, model, onPlaced, waitMs = Duration.toMillis(timeouts.queue) }) =>
        (job) => {
          const askedAt = clock.currentTimeMillisUnsafe()
          const operation = new Complete({ hive_id: hive.id, model: model.id, api, body })
          const { context_size, engine, parallel } = model.alias ?? {}
          const answer = (contextSize: number | undefined) =>
            completions.run(operation, job, {
              contextSize,
              engine,
              parallel,
              inLine: true,
              waitMs,
              onWorker: (worker, loadMs) => {
                const queueMs = clock.currentTimeMillisUnsafe() - askedAt
                onPlaced({ hive: hive.id, worker, queueMs, loadMs })
              }
            })
          if (context_size !== undefined || contextSize === undefined) return answer(context_size)
          return Stream.unwrap(
            Effect.map(inventory.take, ({ devices }) =>
              answer(requestedContext(contextSize, model.facts, [devices]))
            )
          )
        }
    })
  })
)
