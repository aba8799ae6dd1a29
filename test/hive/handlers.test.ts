import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { hiveHandlers } from "../../src/hive/handlers.ts"
import { Completions } from "../../src/hive/inference/Completions.ts"
import { Infer } from "../../src/hive/inference/Infer.ts"
import { Models } from "../../src/hive/models/Models.ts"
import { ModelStore } from "../../src/hive/ModelStore.ts"
import { WorkerNotFound } from "../../src/hive/workers/errors.ts"
import { WorkerLog } from "../../src/hive/workers/WorkerLog.ts"
import { Workers } from "../../src/hive/workers/Workers.ts"
import type { HandlersOf } from "../../src/job/Handlers.ts"
import type { JobEvent } from "../../src/job/log/JobEvent.ts"
import type { RunningJob } from "../../src/job/Submission.ts"
import { ModelDelete, ModelGet, ModelList } from "../../src/operation/modelOperations.ts"
import { WorkerDelete, WorkerLogs } from "../../src/operation/workerOperations.ts"
import { fakeModels } from "../support/hiveFakes.ts"

const job: RunningJob = {
  id: "job-1",
  readEvents: Effect.succeed([]),
  runsAt: () => Effect.succeed({ isLeftRunning: () => false, unconfirmed: () => {} })
}

/** The events of an operation, as kind and data. */
const eventsOf = <Name extends keyof HandlersOf<"hive">>(
  name: Name,
  operation: Parameters<HandlersOf<"hive">[Name]>[0]
) =>
  Effect.gen(function* () {
    const events: Array<JobEvent> = []
    const emit = (batch: ReadonlyArray<JobEvent>) => Effect.sync(() => void events.push(...batch))
    const handlers = yield* hiveHandlers
    const work = handlers[name](operation, job, emit)
    yield* Stream.isStream(work) ? Stream.runForEachArray(work, emit) : work
    return events.map(({ json, kind }): readonly [string, unknown] => [kind, JSON.parse(json)])
  })

const hive = (parts: {
  readonly models?: Layer.Layer<Models>
  readonly workers?: Partial<Workers["Service"]>
  readonly store?: Partial<ModelStore["Service"]>
  readonly log?: Partial<WorkerLog["Service"]>
}) =>
  Layer.mergeAll(
    parts.models ?? Layer.mock(Models)({}),
    Layer.mock(Workers)(parts.workers ?? {}),
    Layer.mock(ModelStore)(parts.store ?? {}),
    Layer.mock(WorkerLog)(parts.log ?? {}),
    Layer.mock(Infer)({}),
    Layer.mock(Completions)({})
  )

describe("the handlers of a hive", () => {
  it.effect("narrate that a worker stops, and result in its state", () => {
    const stopped: Array<readonly [string, boolean]> = []
    const stop = (id: string, onlyIdle = false) => Effect.sync(() => void stopped.push([id, onlyIdle]))
    return Effect.gen(function* () {
      const operation = new WorkerDelete({ hive_id: "h", id: "w", only_idle: true })
      assert.deepStrictEqual(yield* eventsOf("worker_delete", operation), [
        [
          "narration",
          { actor: "hv-worker", action: "worker_stop", message: "Stopping worker w", job_id: "job-1" }
        ],
        ["result", { id: "w", state: "stopped" }]
      ])
      assert.deepStrictEqual(stopped, [["w", true]])
    }).pipe(Effect.provide(hive({ workers: { stop } })))
  })

  it.effect("fail with the error of the service", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(eventsOf("worker_delete", new WorkerDelete({ hive_id: "h", id: "w" })))
      assert.strictEqual(error._tag, "WorkerNotFound")
    }).pipe(
      Effect.provide(
        hive({ workers: { stop: (id) => Effect.fail(new WorkerNotFound({ worker: id, known: [] })) } })
      )
    )
  )

  it.effect("emit each line of a worker's log", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* eventsOf("worker_logs", new WorkerLogs({ hive_id: "h", id: "w" })), [
        ["line", { text: "w" }],
        ["line", { text: "200" }]
      ])
    }).pipe(Effect.provide(hive({ log: { read: (id, { lines }) => Stream.make(id, String(lines)) } })))
  )

  it.effect("report a model with the memory for a context, if the request names one", () =>
    Effect.gen(function* () {
      const [[, plain] = []] = yield* eventsOf("model_get", new ModelGet({ hive_id: "h", id: "small" }))
      assert.notProperty(plain, "ctx_size")
      const [[, sized] = []] = yield* eventsOf(
        "model_get",
        new ModelGet({ hive_id: "h", id: "small", ctx_size: 4096 })
      )
      assert.deepInclude(sized, { id: "small", ctx_size: 4096 })
      assert.property(sized, "memory_bytes")
    }).pipe(Effect.provide(hive({ models: fakeModels({ small: 10 }) })))
  )

  it.effect("narrate the files that are no models", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* eventsOf("model_list", new ModelList({ hive_id: "h" })), [
        [
          "narration",
          {
            actor: "hv-model",
            action: "model_skip",
            message: "/m/x.gguf is not listed: not a GGUF file",
            job_id: "job-1"
          }
        ],
        ["result", { models: [] }]
      ])
    }).pipe(
      Effect.provide(
        hive({
          models: Layer.mock(Models)({
            survey: Effect.succeed({
              models: [],
              skipped: [{ path: "/m/x.gguf", reason: "not a GGUF file" }]
            })
          })
        })
      )
    )
  )

  it.effect("report the disk space that a deleted model used", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* eventsOf("model_delete", new ModelDelete({ hive_id: "h", id: "m" })), [
        ["result", { id: "m", state: "deleted", freed_bytes: 7 }]
      ])
    }).pipe(Effect.provide(hive({ store: { remove: () => Effect.succeed(7) } })))
  )
})
