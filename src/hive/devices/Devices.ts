import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import { Capability } from "../../hives/Capability.ts"
import { Paths } from "../../settings/Paths.ts"
import { workerFile } from "../../system/Program.ts"
import { Backend } from "./Backend.ts"
import * as DeviceTool from "./DeviceTool.ts"
import * as EngineDevices from "./EngineDevices.ts"
import { HostResources, type HostInfo } from "./HostResources.ts"
import { nvidiaSmi } from "./NvidiaSmi.ts"
import { rocmSmi } from "./RocmSmi.ts"

/**
 * A device with the data that placement needs. The number in the id is unique among all GPUs; `index` is the backend's own
 * number, unique within the backend. Memory is in bytes.
 */
export class Device extends Capability.extend<Device>("Device")({
  backend: Backend,
  index: Schema.Int,
  total_bytes: Schema.Finite,
  free_bytes: Schema.Finite
}) {
  /** The id in lower case, as users type it: `gpu-0`, `cpu-0`. */
  get short(): string {
    return this.id.toLowerCase()
  }

  /** The device in a message: `cpu-0 (CPU (2 cores), 23.5 GiB)`. */
  get description(): string {
    return `${this.short} (${this.name}, ${gib(this.total_bytes)} GiB)`
  }
}

/** The devices of this machine: NVIDIA and AMD GPUs, otherwise those that the llama engine finds; the CPU comes last. */
export class Devices extends Context.Service<
  Devices,
  {
    /** Measures the devices, so that free memory is current; takes at most 4 seconds and never fails. */
    readonly list: Effect.Effect<ReadonlyArray<Device>>
  }
>()("rbee/hive/devices/Devices") {
  /** With the given file as the worker's program, which lists the engine's devices. */
  static readonly layerWith = (worker: string) =>
    Layer.effect(
      Devices,
      Effect.gen(function* () {
        const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const { data } = yield* Paths
        const measure = yield* HostResources
        const nvidia = yield* DeviceTool.make(nvidiaSmi, spawner)
        const amd = yield* DeviceTool.make(rocmSmi, spawner)
        const files = { folder: path.join(data, "engines", "llama"), worker }
        const engine = yield* EngineDevices.make(files, fs, path, spawner)
        const list = Effect.gen(function* () {
          const found = yield* Effect.all([nvidia, amd], { concurrency: "unbounded" })
          // The engine would list the same cards again with another backend.
          const all = found.flat().length > 0 ? found : [yield* engine]
          return [...gpuDevices(all), cpuDevice(measure())]
        }).pipe(Effect.withSpan("Devices.list"))
        return Devices.of({ list })
      })
    )

  static readonly layerNoDeps = this.layerWith(workerFile)

  /** Exactly these devices, for tests. */
  static readonly layerMemory = (devices: ReadonlyArray<Device>) =>
    Layer.succeed(Devices, Devices.of({ list: Effect.succeed(devices) }))
}

const gib = (bytes: number) => Math.round((bytes / 1024 ** 3) * 10) / 10
const gibibytes = (bytes: number) => Math.floor(bytes / 1024 ** 3)

// Each list's numbers start after the highest index of the previous list, so that a GPU keeps its number when another one
// of its list is skipped.
const gpuDevices = (lists: ReadonlyArray<ReadonlyArray<DeviceTool.Gpu>>) => {
  let first = 0
  return lists.flatMap((gpus) => {
    const devices = gpus.map((gpu) => gpuDevice(gpu, first + gpu.index))
    first += 1 + Math.max(-1, ...gpus.map(({ index }) => index))
    return devices
  })
}

const gpuDevice = (gpu: DeviceTool.Gpu, number: number) =>
  new Device({
    id: `GPU-${number}`,
    name: gpu.name,
    device_type: "gpu",
    vram_gb: gibibytes(gpu.totalBytes),
    vram_bytes: gpu.totalBytes,
    compute_capability: gpu.computeCapability,
    backend: gpu.backend,
    index: gpu.index,
    total_bytes: gpu.totalBytes,
    free_bytes: gpu.freeBytes
  })

const cpuDevice = (facts: HostInfo) =>
  new Device({
    id: "CPU-0",
    name: `CPU (${facts.cores} ${facts.cores === 1 ? "core" : "cores"})`,
    device_type: "cpu",
    vram_gb: gibibytes(facts.totalBytes),
    vram_bytes: facts.totalBytes,
    compute_capability: null,
    backend: "cpu",
    index: 0,
    total_bytes: facts.totalBytes,
    free_bytes: facts.freeBytes
  })
