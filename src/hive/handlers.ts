import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { OperationError } from "../job/errors.ts"
import type { HandlersOf } from "../job/Handlers.ts"
import { JobEvent } from "../job/JobEvent.ts"
import { narrated } from "../job/narrated.ts"
import { NotSupported } from "../operation/errors.ts"
import { Infer } from "./Infer.ts"
import { type ModelRecord, Models } from "./Models.ts"
import { Workers } from "./Workers.ts"

const actor = "hv-worker"

const answer = <E extends OperationError>(result: Effect.Effect<Schema.Json, E>) =>
  Stream.fromEffect(Effect.map(result, JobEvent.result))

const notSupported = (operation: string, instead: string) => () =>
  Stream.fail(new NotSupported({ operation, instead }))

const toJson = (model: ModelRecord): Schema.Json => ({ ...model })

/** The operations of a hive. */
export const hiveHandlers = Effect.gen(function* () {
  const workers = yield* Workers
  const models = yield* Models
  const infer = yield* Infer

  const handlers: HandlersOf<"hive"> = {
    worker_spawn: ({ device, model, worker }, job) =>
      narrated(job, actor, (say) => workers.spawn({ device, model, worker }, say)),
    worker_list: () =>
      answer(Effect.map(workers.list, (list) => ({ workers: list.map(({ record }) => record) }))),
    worker_get: ({ id }) => answer(workers.get(id)),
    worker_delete: ({ id }, job) =>
      narrated(job, actor, (say) =>
        say("worker_stop", `Stopping worker ${id}`).pipe(
          Effect.andThen(workers.stop(id)),
          Effect.as({ id, state: "stopped" })
        )
      ),
    worker_restart: ({ id }, job) => narrated(job, actor, (say) => workers.restart(id, say)),
    model_list: () => answer(Effect.map(models.list, (list) => ({ models: list.map(toJson) }))),
    model_get: ({ id }) => answer(Effect.map(models.get(id), toJson)),
    model_download: notSupported(
      "model_download",
      "put a GGUF file into the models folder of the hive, or name it as file:/path/to/model.gguf"
    ),
    model_delete: notSupported("model_delete", "remove the file from the models folder of the hive"),
    infer: (operation, job) => infer.run(operation, job)
  }
  return handlers
})
