import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Engine } from "../engines/Engine.ts"
import type { WorkerClient } from "./WorkerClient.ts"

const readyPolls = Schedule.min([Schedule.exponential("20 millis", 1.3), Schedule.spaced("500 millis")])

/** A worker's process that does not answer yet. */
export interface StartingWorker {
  readonly port: number
  readonly model: string
  readonly engine: Engine | undefined
  /** The last lines of its log. */
  readonly log: Effect.Effect<ReadonlyArray<string>>
  /** Reports how much of its model is loaded, in percent. */
  readonly loading: (percent: number) => Effect.Effect<void>
}

const reportLoading = Effect.fnUntraced(function* ({ engine, loading, log }: StartingWorker) {
  if (engine?.loaded === undefined) return
  const lines = yield* log
  const percent = lines.map(engine.loaded).findLast((found) => found !== undefined)
  if (percent !== undefined) yield* loading(percent)
})

/**
 * Returns when the worker answers its engine's health check and serves its model, `undefined`; or the reason why it cannot
 * be used: it serves another model, or was not ready in time.
 */
export const untilReady = (
  client: Pick<WorkerClient["Service"], "isReady" | "models">,
  worker: StartingWorker,
  timeout: Duration.Duration
): Effect.Effect<string | undefined> => {
  const { engine, model, port } = worker
  return client.isReady(port, engine?.readyPath).pipe(
    Effect.tap((ready) => (ready ? Effect.void : reportLoading(worker))),
    Effect.repeat({ until: (ready) => ready, schedule: readyPolls }),
    Effect.andThen(client.models(port)),
    Effect.map((models) =>
      models.includes(model) ? undefined : `port ${port} serves ${models.join(", ") || "no model"} instead`
    ),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.succeed(`it was not ready after ${Duration.toSeconds(timeout)} s (timeouts.worker_start)`)
    })
  )
}
