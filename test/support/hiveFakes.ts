import { NodeServices } from "@effect/platform-node"
import { Deferred, Effect, Layer, Queue } from "effect"
import { Device, Devices } from "../../src/hive/devices/Devices.ts"
import { Engines } from "../../src/hive/engines/Engines.ts"
import type { WorkerSpec } from "../../src/hive/engines/WorkerSpec.ts"
import { Gguf } from "../../src/hive/gguf/Gguf.ts"
import { ModelNotFound } from "../../src/hive/models/modelErrors.ts"
import { ModelRecord } from "../../src/hive/models/ModelRecord.ts"
import { Models } from "../../src/hive/models/Models.ts"
import { WorkerFailed } from "../../src/hive/workers/errors.ts"
import { WorkerProcesses } from "../../src/hive/workers/WorkerProcesses.ts"
import { Workers } from "../../src/hive/workers/Workers.ts"
import { WorkerStore } from "../../src/hive/workers/WorkerStore.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { type SettingChanges, Settings } from "../../src/settings/Settings.ts"
import { Pids } from "../../src/system/Pids.ts"

const mebibyte = 1024 ** 2

export const cpu = new Device({
  id: "CPU-0",
  name: "CPU (2 cores)",
  device_type: "cpu",
  vram_gb: 1,
  compute_capability: null,
  backend: "cpu",
  index: 0,
  total_bytes: 1024 * mebibyte,
  free_bytes: 1024 * mebibyte
})

export const gpu = new Device({
  id: "GPU-0",
  name: "Fast One",
  device_type: "gpu",
  vram_gb: 24,
  compute_capability: "9.0",
  backend: "cuda",
  index: 0,
  total_bytes: 24_576 * mebibyte,
  free_bytes: 24_576 * mebibyte
})

const gguf = (sizeBytes: number) =>
  new Gguf({
    sizeBytes,
    version: 3,
    architecture: "llama",
    name: undefined,
    parameters: 1,
    quantisation: "Q8_0",
    contextLength: 512,
    chatTemplate: false,
    traits: { chatTemplate: false, purpose: "text", reasons: false, tools: false },
    blocks: 1,
    embeddingLength: 1,
    headCount: 1,
    headCountKv: 1,
    vocabulary: 1,
    kvBytesPerToken: 1,
    files: 1
  })

/** Models by name, each with the size of its file in MiB. */
export const fakeModels = (sizes: Readonly<Record<string, number>>) => {
  const describe = (id: string) => {
    const size = sizes[id]
    if (size === undefined) return Effect.fail(new ModelNotFound({ id, folder: "/models" }))
    const header = gguf(size * mebibyte)
    const record = new ModelRecord({
      id,
      path: `/models/${id}.gguf`,
      size_bytes: header.sizeBytes,
      architecture: "llama",
      parameters: 1,
      context_length: 512,
      quantisation: "Q8_0",
      chat_template: false,
      memory_bytes: header.memoryBytes(512)
    })
    return Effect.succeed({ record, gguf: header, traits: header.traits, also: [], serves: { id } })
  }
  const resolve = (id: string) =>
    Effect.map(describe(id), ({ record }) => ({ id: record.id, path: record.path ?? "" }))
  return Layer.mock(Models)({ describe, resolve })
}

/** A process of a fake worker, whose life the test decides. */
export interface FakeProcess {
  readonly spec: WorkerSpec
  readonly ready: Effect.Effect<void>
  /** Tells how far its model is loaded, in percent. */
  readonly loading: (percent: number) => Effect.Effect<void>
  /** Ends it: before it is ready, this is a failed start. */
  readonly end: (reason: string) => Effect.Effect<void>
  readonly interrupted: Effect.Effect<void>
}

/** The spec of a small worker on the CPU. */
export const workerSpec = (id: string): WorkerSpec => ({
  id,
  model: "m",
  modelPath: "/m.gguf",
  worker: "cpu",
  engine: "llama",
  backend: "cpu",
  device: 0,
  contextSize: 512,
  parallel: 1,
  threads: 1,
  memoryBytes: 1
})

/** Fake processes, and those that were started, in order. */
export const fakeProcesses = Effect.gen(function* () {
  const started = yield* Queue.unbounded<FakeProcess>()
  let count = 0
  const layer = Layer.mock(WorkerProcesses)({
    run: (spec, events) =>
      Effect.gen(function* () {
        const process = { pid: 4_000_000 + count, startTime: "1", port: 50_000 + count++ }
        const ready = yield* Deferred.make<void, WorkerFailed>()
        const ended = yield* Deferred.make<WorkerFailed>()
        const interrupted = yield* Deferred.make<void>()
        yield* Queue.offer(started, {
          spec,
          ready: Effect.asVoid(Deferred.succeed(ready, undefined)),
          loading: events.loading,
          end: (reason) => {
            const failure = new WorkerFailed({
              worker: spec.id,
              model: spec.model,
              reason,
              lastLines: ["oh"]
            })
            return Effect.andThen(Deferred.fail(ready, failure), Deferred.succeed(ended, failure))
          },
          interrupted: Deferred.await(interrupted)
        })
        return yield* Effect.gen(function* () {
          yield* events.started(process, undefined)
          yield* Deferred.await(ready)
          yield* events.ready(process)
          return yield* Deferred.await(ended)
        }).pipe(Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)))
      })
  })
  return { started: Queue.take(started), startedNow: Queue.size(started), layer }
})

export interface FakeWorkersOptions {
  readonly home: string
  readonly models?: Readonly<Record<string, number>>
  readonly devices?: ReadonlyArray<Device>
  /** The devices as they are measured, when they change. */
  readonly measure?: Effect.Effect<ReadonlyArray<Device>>
  readonly settings?: SettingChanges
}

/** `Workers` over fake processes, devices and models. */
export const fakeWorkers = (
  { devices = [cpu], home, measure, models = { small: 10, big: 500 }, settings = {} }: FakeWorkersOptions,
  processes: Layer.Layer<WorkerProcesses>
) =>
  Workers.layerNoDeps.pipe(
    Layer.provide(
      Layer.mergeAll(
        processes,
        fakeModels(models),
        measure === undefined
          ? Devices.layerMemory(devices)
          : Layer.succeed(Devices, Devices.of({ list: measure })),
        Engines.layerMemory([
          {
            name: "llama",
            backends: ["cpu"],
            cancellation: { _tag: "Disconnect" },
            install: "get it",
            readyPath: "/health",
            command: () => ({ command: "", args: [] })
          }
        ])
      )
    ),
    Layer.provide(WorkerStore.layerNoDeps),
    Layer.provideMerge(Pids.layer),
    Layer.provide(
      Layer.mergeAll(
        Settings.layerDefaults({ ...settings, hive: { id: "test" }, engine: { parallel: 1 } }),
        Paths.layerAt(home)
      )
    ),
    Layer.provideMerge(NodeServices.layer)
  )
