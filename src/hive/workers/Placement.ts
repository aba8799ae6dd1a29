import * as ByteSize from "effect/ByteSize"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Backend } from "../devices/Backend.ts"
import { type Device } from "../devices/Devices.ts"
import { builtInEngine } from "../engines/Engine.ts"

/** The requested device does not exist. No other device replaces it. */
export class DeviceNotFound extends Schema.TaggedError<DeviceNotFound>()("DeviceNotFound", {
  device: Schema.String,
  available: Schema.Array(Schema.String)
}) {
  override get message() {
    return `Device '${this.device}' not found; available devices: ${this.available.join(", ")}`
  }
}

/** `worker` and `device` name different devices. */
export class DeviceConflict extends Schema.TaggedError<DeviceConflict>()("DeviceConflict", {
  worker: Schema.String,
  device: Schema.Int
}) {
  override get message() {
    return `Worker '${this.worker}' contradicts device ${this.device}; name the same index in both`
  }
}

/** `worker` is neither a kind, nor a device, nor an engine. */
export class UnknownWorkerKind extends Schema.TaggedError<UnknownWorkerKind>()("UnknownWorkerKind", {
  worker: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    return `Unknown worker '${this.worker}'; use one of: ${this.known.join(", ")}, or a device such as gpu-0 or cpu-0`
  }
}

/** The device exists, but the installed engine cannot compute on it. */
export class BackendNotSupported extends Schema.TaggedError<BackendNotSupported>()("BackendNotSupported", {
  engine: Schema.String,
  device: Schema.String,
  needs: Backend,
  supports: Schema.Array(Backend)
}) {
  override get message() {
    const installed = this.supports.length === 0 ? "no backend" : this.supports.join(", ")
    return `The engine '${this.engine}' cannot use ${this.device}: it is installed for ${installed}, not for ${this.needs}`
  }
}

/** The device has too little free memory for the model. Both numbers are bytes. */
export class ModelDoesNotFit extends Schema.TaggedError<ModelDoesNotFit>()("ModelDoesNotFit", {
  model: Schema.String,
  device: Schema.String,
  needed: Schema.Finite,
  free: Schema.Finite
}) {
  override get message() {
    return (
      `Model '${this.model}' needs ${size(this.needed)} and ${this.device} has ${size(this.free)} free; ` +
      "use a smaller quantization or context, another device, or delete a worker"
    )
  }
}

/** Why placement failed. */
export const PlacementError = Schema.Union([
  DeviceNotFound,
  DeviceConflict,
  UnknownWorkerKind,
  BackendNotSupported
])
export type PlacementError = typeof PlacementError.Type

/** The engines of this hive by name, each with its installed backends. */
export type Engines = ReadonlyMap<string, ReadonlyArray<Backend>>

/** The placement fields of a request. `device` is an index. */
export interface PlacementRequest {
  readonly worker: string
  readonly device?: number | undefined
}

/** The device and the engine of a new worker. */
export interface Placement {
  readonly engine: string
  readonly device: Device
}

const deviceKinds = ["gpu", ...Backend.literals] as const
const kinds = ["auto", ...deviceKinds] as const
const devicePattern = /^([a-z]+)-(\d{1,10})$/
type Kind = (typeof kinds)[number]

/**
 * Chooses the engine and the device. For `auto` and the name of an engine the device is the GPU with the most free memory
 * that the engine can use, else the CPU; an index restricts the choice. Any other `worker` names the device exactly.
 */
export const place = (
  request: PlacementRequest,
  devices: ReadonlyArray<Device>,
  engines: Engines,
  defaultEngine: string = builtInEngine
): Result.Result<Placement, PlacementError> => {
  const worker = request.worker.toLowerCase()
  const [, named = worker, number] = devicePattern.exec(worker) ?? []
  const kind = kinds.find((kind) => kind === named)
  if (kind === undefined || (kind === "auto" && number !== undefined)) {
    const supports = engines.get(request.worker)
    return supports !== undefined
      ? choose(request.device, devices, request.worker, supports)
      : Result.fail(new UnknownWorkerKind({ worker: request.worker, known: [...kinds, ...engines.keys()] }))
  }
  const supports = engines.get(defaultEngine) ?? []
  if (kind === "auto") return choose(request.device, devices, defaultEngine, supports)
  const index = number === undefined ? undefined : Number(number)
  if (index !== undefined && request.device !== undefined && index !== request.device) {
    return Result.fail(new DeviceConflict({ worker: request.worker, device: request.device }))
  }
  return take(kind, index ?? request.device ?? 0, devices, defaultEngine, supports)
}

/** Refuses a model that needs more bytes than are free on the device. */
export const checkFit = (
  model: { readonly id: string; readonly memoryBytes: number },
  device: Device
): Result.Result<void, ModelDoesNotFit> =>
  model.memoryBytes <= device.free_bytes
    ? Result.void
    : Result.fail(
        new ModelDoesNotFit({
          model: model.id,
          device: device.description,
          needed: model.memoryBytes,
          free: device.free_bytes
        })
      )

/** The devices that a request accepts. */
export interface DeviceFilter {
  readonly backend?: Backend | "gpu" | undefined
  readonly index?: number | undefined
}

/**
 * Reads the name of a device: a kind (`cuda`, `cpu`, `gpu`), or a device by its capability id (`gpu-1`) or by its
 * backend's index (`cuda-0`).
 */
export const readDeviceName = (
  name: string,
  devices: ReadonlyArray<Device>
): Result.Result<DeviceFilter, DeviceNotFound | UnknownWorkerKind> => {
  const wanted = name.toLowerCase()
  const [, kindName = wanted, number] = devicePattern.exec(wanted) ?? []
  const backend = deviceKinds.find((kind) => kind === kindName)
  if (backend === undefined) return Result.fail(new UnknownWorkerKind({ worker: name, known: deviceKinds }))
  if (number === undefined) return Result.succeed({ backend })
  const index = Number(number)
  if (backend !== "gpu") return Result.succeed({ backend, index })
  const device = devices.find(({ short }) => short === wanted)
  return device === undefined
    ? Result.fail(
        new DeviceNotFound({ device: name, available: devices.map(({ description }) => description) })
      )
    : Result.succeed({ backend: device.backend, index: device.index })
}

/** The name of the device that a filter describes, in the format of `worker` in `worker_spawn`. */
export const deviceName = ({ backend, index }: DeviceFilter) =>
  backend === undefined || index === undefined ? backend : `${backend}-${index}`

/** Whether the filter accepts a device. */
export const passes = (
  { backend, index }: DeviceFilter,
  device: { readonly backend: Backend; readonly index: number }
) =>
  (backend === undefined || backend === device.backend || (backend === "gpu" && device.backend !== "cpu")) &&
  (index === undefined || index === device.index)

const take = (
  kind: Exclude<Kind, "auto">,
  index: number,
  devices: ReadonlyArray<Device>,
  engine: string,
  supports: ReadonlyArray<Backend>
) => {
  const device = devices.find((device) =>
    kind === "gpu" ? device.short === `gpu-${index}` : device.backend === kind && device.index === index
  )
  if (device === undefined) {
    const available = devices.map(({ description }) => description)
    return Result.fail(new DeviceNotFound({ device: `${kind}-${index}`, available }))
  }
  return supports.includes(device.backend)
    ? Result.succeed({ engine, device })
    : Result.fail(
        new BackendNotSupported({ engine, device: device.description, needs: device.backend, supports })
      )
}

const choose = (
  index: number | undefined,
  devices: ReadonlyArray<Device>,
  engine: string,
  supports: ReadonlyArray<Backend>
) => {
  const usable = devices.filter(({ backend }) => supports.includes(backend))
  const gpus = usable.filter(({ device_type }) => device_type === "gpu")
  const candidates = gpus.length > 0 ? gpus : usable
  const bound =
    index === undefined ? candidates : candidates.filter((device) => device.short.endsWith(`-${index}`))
  const [best] = [...bound].sort((left, right) => right.free_bytes - left.free_bytes)
  if (best !== undefined) return Result.succeed({ engine, device: best })
  const kind = gpus.length > 0 || (supports.length > 0 && !supports.includes("cpu")) ? "gpu" : "cpu"
  return take(kind, index ?? 0, devices, engine, supports)
}

const size = (bytes: number) =>
  ByteSize.format(ByteSize.bytes(Math.round(bytes)), { system: "binary", precision: 1, trailingZeros: true })
