import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Settings } from "../config/Settings.ts"
import { batches, Pulse } from "../job/Follower.ts"
import { JobFailed } from "../job/clientErrors.ts"
import { readFailure } from "../job/JobEvent.ts"
import { Jobs } from "../job/Jobs.ts"
import type { IdempotencyConflict, TooManyJobs } from "../job/errors.ts"
import { OperationRouter } from "../job/OperationRouter.ts"
import type { RefusedOperation } from "../operation/errors.ts"
import { ModelUnknown, type ServedModel, Upstream } from "./Upstream.ts"

/** Finds the model that an application asks for, and brings it if that is allowed. */
export class ModelFinder extends Context.Service<
  ModelFinder,
  {
    readonly find: (
      name: string
    ) => Effect.Effect<
      ServedModel,
      ModelUnknown | JobFailed | IdempotencyConflict | TooManyJobs | RefusedOperation
    >
  }
>()("rbee/gateway/ModelFinder") {
  static readonly layerNoDeps = Layer.effect(
    ModelFinder,
    Effect.gen(function* () {
      const upstream = yield* Upstream
      const { aliases, scheduler } = yield* Settings
      const download = yield* makeDownload
      return ModelFinder.of({
        find: Effect.fn("ModelFinder.find")(function* (name) {
          const found = yield* Effect.option(upstream.find(name))
          if (Option.isSome(found)) return found.value
          const model = aliases[name]?.model ?? name
          // An application far away may not have files of a machine read.
          if (scheduler.download && !model.startsWith("file:")) yield* download(model)
          return yield* upstream.find(name)
        })
      })
    })
  )
}

const makeDownload = Effect.gen(function* () {
  const jobs = yield* Jobs
  const pulse = yield* Pulse
  const operations = yield* OperationRouter

  return Effect.fnUntraced(function* (model: string) {
    const json = JSON.stringify({ operation: "model_download", hive_id: "auto", model })
    const { job_id } = yield* Effect.flatMap(operations.route(json), jobs.submit)
    const ended = Stream.unwrap(
      Effect.map(Effect.orDie(jobs.follow(job_id)), ({ log }) =>
        batches({ log, pulse }, 0, (events) => events)
      )
    )
    const last = yield* Stream.runLast(ended)
    const end = Option.getOrUndefined(last)?.at(-1)
    if (end?.kind === "done") return
    const failure = Option.getOrUndefined(readFailure(end?.json ?? ""))?.error
    return yield* new JobFailed({
      code: failure?.code ?? "JobFailed",
      sentence: failure?.message ?? `The download of '${model}' ended before it was whole`
    })
  })
})
