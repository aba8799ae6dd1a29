import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import { Machine, type MachineFacts } from "./Machine.ts"
import * as NvidiaSmi from "./NvidiaSmi.ts"

/** Through what a device computes. */
export const Backend = Schema.Literals(["cuda", "rocm", "metal", "vulkan", "cpu"])
export type Backend = typeof Backend.Type

/**
 * A device as `/v1/capabilities` shows it. `vram_gb` is its memory in GiB, rounded to one decimal; for the
 * CPU the RAM.
 */
export class Capability extends Schema.Class<Capability>("Capability")({
  id: Schema.String,
  name: Schema.String,
  device_type: Schema.Literals(["gpu", "cpu"]),
  vram_gb: Schema.Finite,
  compute_capability: Schema.NullOr(Schema.String)
}) {}

/**
 * The body of `/v1/capabilities`. A `Device` may stand for a `Capability`: what the hive knows besides is not
 * written.
 */
export const Capabilities = Schema.Struct({ devices: Schema.Array(Capability) })
export type Capabilities = typeof Capabilities.Type

/** A device with what the hive needs to place a worker on it: its backend, its index, its memory in bytes. */
export class Device extends Capability.extend<Device>("Device")({
  backend: Backend,
  index: Schema.Int,
  total_bytes: Schema.Finite,
  free_bytes: Schema.Finite
}) {
  /** The id as it is typed: `gpu-0`, `cpu-0`. */
  get short(): string {
    return this.id.toLowerCase()
  }

  /** For a sentence: `cpu-0 (CPU (2 cores), 23.5 GiB)`. */
  get description(): string {
    return `${this.short} (${this.name}, ${this.vram_gb} GiB)`
  }
}

/** The devices of this machine. The CPU is always one of them, and is the last. */
export class Devices extends Context.Service<
  Devices,
  {
    /** Asks the machine anew, so that free memory is as of now; takes 2 seconds at most, and never fails. */
    readonly list: Effect.Effect<ReadonlyArray<Device>>
  }
>()("rbee/hive/Devices") {
  static readonly layerNoDeps = Layer.effect(
    Devices,
    Effect.gen(function* () {
      const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
      const measure = yield* Machine
      const nvidia = yield* NvidiaSmi.make(spawner)
      const list = Effect.gen(function* () {
        const gpus = yield* nvidia
        return [...gpus.map(nvidiaDevice), cpuDevice(measure())]
      }).pipe(Effect.withSpan("Devices.list"))
      return Devices.of({ list })
    })
  )

  /** These devices and no others, for tests. */
  static readonly layerMemory = (devices: ReadonlyArray<Device>) =>
    Layer.succeed(Devices, Devices.of({ list: Effect.succeed(devices) }))
}

const gib = (bytes: number) => Math.round((bytes / 1024 ** 3) * 10) / 10

const nvidiaDevice = (gpu: NvidiaSmi.Gpu) =>
  new Device({
    id: `GPU-${gpu.index}`,
    name: gpu.name,
    device_type: "gpu",
    vram_gb: gib(gpu.totalBytes),
    compute_capability: gpu.computeCapability,
    backend: "cuda",
    index: gpu.index,
    total_bytes: gpu.totalBytes,
    free_bytes: gpu.freeBytes
  })

const cpuDevice = (facts: MachineFacts) =>
  new Device({
    id: "CPU-0",
    name: `CPU (${facts.cores} ${facts.cores === 1 ? "core" : "cores"})`,
    device_type: "cpu",
    vram_gb: gib(facts.totalBytes),
    compute_capability: null,
    backend: "cpu",
    index: 0,
    total_bytes: facts.totalBytes,
    free_bytes: facts.freeBytes
  })
