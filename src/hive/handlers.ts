import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { OperationError } from "../job/errors.ts"
import type { HandlersOf } from "../job/Handlers.ts"
import { JobEvent } from "../job/log/JobEvent.ts"
import { type Narrate, withNarration } from "../job/withNarration.ts"
import { Completions } from "./inference/Completions.ts"
import { Infer } from "./inference/Infer.ts"
import type { ModelRecord } from "./models/ModelRecord.ts"
import { Models } from "./models/Models.ts"
import { ModelStore } from "./ModelStore.ts"
import { WorkerLog } from "./workers/WorkerLog.ts"
import { Workers } from "./workers/Workers.ts"

const actor = "hv-worker"
const modelActor = "hv-model"

const answer = <E extends OperationError>(result: Effect.Effect<Schema.Json, E>) =>
  Stream.fromEffect(Effect.map(result, JobEvent.result))

const toJson = (model: ModelRecord) => ({ ...model })

/** The operations on workers. */
const workerHandlers = Effect.gen(function* () {
  const workers = yield* Workers
  const log = yield* WorkerLog
  return {
    worker_spawn: ({ ctx_size, device, model, parallel, worker }, job, emit) =>
      withNarration(job, emit, actor, (narrate) =>
        workers.spawn({ device, model, worker, contextSize: ctx_size, parallel }, narrate)
      ),
    worker_list: () =>
      answer(Effect.map(workers.list, (list) => ({ workers: list.map(({ record }) => record) }))),
    worker_get: ({ id }) => answer(workers.get(id)),
    worker_delete: ({ id, only_idle }, job, emit) =>
      withNarration(job, emit, actor, (narrate) =>
        narrate("worker_stop", `Stopping worker ${id}`).pipe(
          Effect.andThen(workers.stop(id, only_idle)),
          Effect.as({ id, state: "stopped" })
        )
      ),
    worker_restart: ({ id }, job, emit) =>
      withNarration(job, emit, actor, (narrate) => workers.restart(id, narrate)),
    worker_logs: ({ follow, id, lines }) => Stream.map(log.read(id, { follow, lines }), JobEvent.line)
  } satisfies Partial<HandlersOf<"hive">>
})

/** The operations on models. */
const modelHandlers = Effect.gen(function* () {
  const models = yield* Models
  const store = yield* ModelStore
  const list = Effect.fnUntraced(function* (narrate: Narrate) {
    const survey = yield* models.survey
    for (const { path, reason } of survey.skipped) {
      yield* narrate("model_skip", `${path} is not listed: ${reason}`)
    }
    return { models: survey.models.map(({ record }) => toJson(record)) }
  })
  return {
    model_list: (_operation, job, emit) => withNarration(job, emit, modelActor, list),
    model_get: ({ ctx_size, id }) =>
      answer(
        Effect.map(models.describe(id), ({ gguf, record }) =>
          ctx_size === undefined
            ? toJson(record)
            : { ...toJson(record), ctx_size, memory_bytes: gguf.memoryBytes(ctx_size) }
        )
      ),
    model_download: ({ model }, job, emit) =>
      withNarration(job, emit, modelActor, (narrate, report) =>
        Effect.map(store.download(model, narrate, report), toJson)
      ),
    model_delete: ({ id }, job, emit) =>
      withNarration(job, emit, modelActor, (narrate) =>
        Effect.map(store.remove(id, narrate), (freed_bytes) => ({ id, state: "deleted", freed_bytes }))
      ),
    model_create: ({ from, hive_id: _hive, id, operation: _operation, ...definition }, job, emit) =>
      withNarration(job, emit, modelActor, (narrate) =>
        Effect.map(store.create(id, from, definition, narrate), toJson)
      )
  } satisfies Partial<HandlersOf<"hive">>
})

/** The handlers of all operations of a hive. */
export const hiveHandlers = Effect.gen(function* () {
  const infer = yield* Infer
  const completions = yield* Completions
  const handlers: HandlersOf<"hive"> = {
    ...(yield* workerHandlers),
    ...(yield* modelHandlers),
    infer: infer.run,
    complete: completions.run
  }
  return handlers
})
