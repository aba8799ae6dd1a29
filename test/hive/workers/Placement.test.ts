import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { type Backend } from "../../../src/hive/devices/Backend.ts"
import { Device } from "../../../src/hive/devices/Devices.ts"
import {
  BackendNotSupported,
  checkFit,
  DeviceConflict,
  DeviceNotFound,
  ModelDoesNotFit,
  place,
  UnknownWorkerKind
} from "../../../src/hive/workers/Placement.ts"

const gibi = 1024 ** 3
const device = (backend: Backend, index: number, total: number, free: number) =>
  new Device({
    id: `${backend === "cpu" ? "CPU" : "GPU"}-${index}`,
    name: backend === "cpu" ? "CPU (2 cores)" : `Card ${index}`,
    device_type: backend === "cpu" ? "cpu" : "gpu",
    vram_gb: total,
    compute_capability: backend === "cuda" ? "8.6" : null,
    backend,
    index,
    total_bytes: total * gibi,
    free_bytes: free * gibi
  })
const cpu = device("cpu", 0, 23.5, 20)
const busy = device("cuda", 0, 24, 1)
const idle = device("cuda", 1, 16, 15)
const gpus = [busy, idle, cpu]
const cpuOnly = new Map<string, ReadonlyArray<Backend>>([["llama", ["cpu"]]])
const withCuda = new Map<string, ReadonlyArray<Backend>>([
  ["llama", ["cpu", "cuda"]],
  ["vllm", ["cuda"]]
])

const placed = (
  worker: string,
  index: number | undefined,
  devices: ReadonlyArray<Device>,
  engines = withCuda
) => {
  const { engine, device } = Result.getOrThrow(place({ worker, device: index }, devices, engines))
  return `${engine} on ${device.short}`
}
const refused = (
  worker: string,
  index: number | undefined,
  devices: ReadonlyArray<Device>,
  engines = withCuda
) => Result.getOrThrow(Result.flip(place({ worker, device: index }, devices, engines)))

describe("Placement", () => {
  it("takes the named device, in every spelling", () => {
    for (const worker of ["gpu-1", "GPU-1", "Gpu-1", "cuda-1"]) {
      assert.strictEqual(placed(worker, 1, gpus), "llama on gpu-1")
      assert.strictEqual(placed(worker, undefined, gpus), "llama on gpu-1")
    }
    for (const worker of ["cpu", "CPU", "cpu-0", "CPU-0"])
      assert.strictEqual(placed(worker, 0, gpus), "llama on cpu-0")
    for (const worker of ["cuda", "gpu"]) {
      assert.strictEqual(placed(worker, 0, gpus), "llama on gpu-0")
      assert.strictEqual(placed(worker, 1, gpus), "llama on gpu-1")
    }
  })

  it("chooses the GPU with the most free memory that the engine can use, else the CPU", () => {
    assert.strictEqual(placed("auto", undefined, gpus), "llama on gpu-1")
    assert.strictEqual(placed("llama", undefined, gpus), "llama on gpu-1")
    assert.strictEqual(placed("vllm", undefined, gpus), "vllm on gpu-1")
    assert.strictEqual(placed("auto", undefined, gpus, cpuOnly), "llama on cpu-0")
    assert.strictEqual(placed("auto", undefined, [cpu]), "llama on cpu-0")
    assert.strictEqual(placed("auto", undefined, [device("vulkan", 0, 8, 8), cpu]), "llama on cpu-0")
  })

  it("is bound by an index beside auto or an engine, also by 0", () => {
    assert.strictEqual(placed("auto", 1, gpus), "llama on gpu-1")
    assert.strictEqual(placed("auto", 0, gpus), "llama on gpu-0")
    assert.strictEqual(placed("llama", 0, gpus), "llama on gpu-0")
    assert.strictEqual(placed("vllm", 0, gpus), "vllm on gpu-0")
    assert.strictEqual(placed("auto", 0, gpus, cpuOnly), "llama on cpu-0")
    assert.strictEqual(placed("auto", 0, [cpu]), "llama on cpu-0")
    assert.strictEqual(refused("auto", 2, gpus).message.split(";")[0], "Device 'gpu-2' not found")
    assert.strictEqual(refused("auto", 1, [cpu]).message.split(";")[0], "Device 'cpu-1' not found")
  })

  it("never replaces a missing GPU by the CPU", () => {
    const error = refused("gpu-0", 0, [cpu])
    assert.instanceOf(error, DeviceNotFound)
    assert.strictEqual(
      error.message,
      "Device 'gpu-0' not found; available devices: cpu-0 (CPU (2 cores), 23.5 GiB)"
    )
    for (const worker of ["gpu", "cuda", "metal", "vulkan", "rocm", "cuda-0"]) {
      assert.instanceOf(refused(worker, 0, [cpu]), DeviceNotFound, worker)
    }
    assert.strictEqual(
      refused("cuda", 2, gpus).message,
      "Device 'cuda-2' not found; available devices: gpu-0 (Card 0, 24 GiB), gpu-1 (Card 1, 16 GiB), " +
        "cpu-0 (CPU (2 cores), 23.5 GiB)"
    )
    assert.instanceOf(refused("cpu", 1, gpus), DeviceNotFound)
    assert.instanceOf(refused("vllm", 0, [cpu]), DeviceNotFound)
    assert.instanceOf(refused("gpu-4294967295", undefined, gpus), DeviceNotFound)
  })

  it("refuses a device that the engine cannot use", () => {
    assert.deepStrictEqual(
      refused("gpu-0", 0, gpus, cpuOnly),
      new BackendNotSupported({
        engine: "llama",
        device: "gpu-0 (Card 0, 24 GiB)",
        needs: "cuda",
        supports: ["cpu"]
      })
    )
    assert.strictEqual(
      refused("auto", 0, [cpu], new Map([["llama", []]])).message,
      "The engine 'llama' cannot use cpu-0 (CPU (2 cores), 23.5 GiB): it is installed for no backend, not for cpu"
    )
  })

  it("refuses two different indexes, with both", () => {
    const error = refused("gpu-1", 0, gpus)
    assert.deepStrictEqual(error, new DeviceConflict({ worker: "gpu-1", device: 0 }))
    assert.strictEqual(error.message, "Worker 'gpu-1' contradicts device 0; name the same index in both")
    assert.instanceOf(refused("cpu-0", 3, gpus), DeviceConflict)
  })

  it("refuses an unknown worker with the known ones", () => {
    const error = refused("tpu", 0, gpus)
    assert.instanceOf(error, UnknownWorkerKind)
    assert.strictEqual(
      error.message,
      "Unknown worker 'tpu'; use one of: auto, gpu, cuda, rocm, metal, vulkan, cpu, llama, vllm, " +
        "or a device such as gpu-0 or cpu-0"
    )
    for (const worker of ["", "auto-0", "gpu-", "gpu-x", "gpu-1-2", "gpu--1", "llama-server"]) {
      assert.instanceOf(refused(worker, 0, gpus), UnknownWorkerKind, worker)
    }
  })

  it("refuses a model that does not fit, with the needed and the free memory", () => {
    assert.isTrue(Result.isSuccess(checkFit({ id: "a", memoryBytes: gibi }, busy)))
    const error = Result.getOrThrow(
      Result.flip(checkFit({ id: "hf:org/big", memoryBytes: 5.25 * gibi }, busy))
    )
    assert.instanceOf(error, ModelDoesNotFit)
    assert.deepStrictEqual([error.needed, error.free], [5.25 * gibi, gibi])
    assert.strictEqual(
      error.message,
      "Model 'hf:org/big' needs 5.3 GiB and gpu-0 (Card 0, 24 GiB) has 1.0 GiB free; " +
        "use a smaller quantization or context, another device, or delete a worker"
    )
  })
})
