import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import { OperationRunner } from "./OperationRunner.ts"
import { type ServedModel, Upstream } from "./Upstream.ts"

/** Stops the idle workers of a model, as Ollama clients request with a `keep_alive` of 0. */
export class Unloader extends Context.Service<
  Unloader,
  {
    /** Returns once the idle workers on the hive `on`, or on all hives, have stopped, after at most 10 seconds. A busy worker is not stopped. */
    readonly unload: (model: ServedModel, on?: string) => Effect.Effect<void>
    /** Like `unload`, but does not wait. */
    readonly inBackground: (model: ServedModel) => Effect.Effect<void>
  }
>()("rbee/gateway/upstream/Unloader") {
  static readonly layerNoDeps = Layer.effect(
    Unloader,
    Effect.gen(function* () {
      const upstream = yield* Upstream
      const operations = yield* OperationRunner
      const run = yield* FiberSet.makeRuntime<never, void, never>()

      const unload = Effect.fn("Unloader.unload")(function* ({ id }: ServedModel, on?: string) {
        const workers = yield* upstream.workers
        yield* Effect.forEach(
          workers.filter(({ hive, worker }) => worker.model_id === id && (on ?? hive) === hive),
          ({ hive, worker }) =>
            Effect.ignore(
              operations.run({
                operation: "worker_delete",
                hive_id: hive,
                id: worker.worker_id,
                only_idle: true
              })
            ),
          { concurrency: "unbounded", discard: true }
        ).pipe(Effect.timeoutOption(timeout))
      })

      return Unloader.of({
        unload,
        inBackground: (model) => Effect.sync(() => void run(unload(model)))
      })
    })
  )
}

const timeout = "10 seconds"
