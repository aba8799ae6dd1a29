import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { contextNeed, longerNeed } from "../gateway/upstream/contextNeed.ts"
import { requiredCapabilities } from "../gateway/upstream/requiredCapabilities.ts"
import { pickModel, publicModels, Upstream } from "../gateway/upstream/Upstream.ts"
import { Complete } from "../operation/inferenceOperations.ts"
import type { HiveInventory } from "../operation/Inventory.ts"
import { Settings } from "../settings/Settings.ts"
import { Completions } from "./inference/Completions.ts"
import { Inventory } from "./Inventory.ts"

/** Serves the public endpoints of a hive with its own workers; a model without a worker gets one if memory allows. */
export const hiveUpstream = Layer.effect(
  Upstream,
  Effect.gen(function* () {
    const completions = yield* Completions
    const inventory = yield* Inventory
    const clock = yield* Clock.Clock
    const { aliases, hive, timeouts } = yield* Settings
    const publicOf = (inventory: HiveInventory) => publicModels([{ hive: hive.id, ...inventory }], aliases)
    return Upstream.of({
      models: Effect.map(inventory.snapshot, publicOf),
      find: (name) =>
        Effect.flatMap(inventory.known, (known) => Effect.fromResult(pickModel(publicOf(known), name))),
      workers: Effect.map(inventory.snapshot, ({ workers }) =>
        workers.map((worker) => ({ hive: hive.id, worker }))
      ),
      complete: (request) => (job, emit) => {
        const { api, body, model, onPlaced, waitMs = Duration.toMillis(timeouts.queue) } = request
        const requestedAt = clock.currentTimeMillisUnsafe()
        const operation = new Complete({ hive_id: hive.id, model: model.id, api, body })
        const { context_size: contextSize, engine, parallel } = model.alias ?? {}
        const run = (minContext: number | undefined) =>
          completions.run(operation, job, emit, {
            capabilities: requiredCapabilities(request),
            contextSize,
            minContext,
            engine,
            parallel,
            inLine: true,
            waitMs,
            onWorker: (worker, loadMs) => {
              const queueMs = clock.currentTimeMillisUnsafe() - requestedAt
              onPlaced({ hive: hive.id, worker, queueMs, loadMs })
            }
          })
        // Without memory for such a context any worker is tried: the prompt may be shorter than estimated.
        const answerWith = (minContext: number | undefined) =>
          Effect.catchIf(
            run(minContext),
            ({ _tag }) => _tag === "ModelDoesNotFit" && (minContext ?? 0) > 0,
            () => run(undefined)
          )
        return Effect.catchTag(answerWith(contextNeed(request)), "ContextLengthExceeded", (error) =>
          Effect.flatMap(inventory.known, ({ workers }) => {
            const refusing = workers.find(({ worker_id }) => worker_id === error.worker)
            const need = longerNeed(request, refusing?.context_size ?? 0, error.message)
            return need === undefined
              ? Effect.fail(error)
              : Effect.catchTag(run(need), "ModelDoesNotFit", () => Effect.fail(error))
          })
        )
      }
    })
  })
)
