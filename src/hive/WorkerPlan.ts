import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { Settings } from "../config/Settings.ts"
import type { Say } from "../job/narrated.ts"
import { Device, Devices } from "./Devices.ts"
import { type Engine, Engines } from "./Engines.ts"
import type { GgufError } from "./GgufFile.ts"
import { Machine } from "./Machine.ts"
import type { InvalidModelId } from "./ModelId.ts"
import { type ModelNotFound, Models } from "./Models.ts"
import { checkFit, type ModelDoesNotFit, place, type PlacementError } from "./Placement.ts"
import type { WorkerSpec } from "./WorkerRecord.ts"

/** A worker that is wanted. */
export interface WorkerRequest {
  readonly model: string
  readonly worker: string
  readonly device?: number | undefined
}

export type PlanError = GgufError | InvalidModelId | ModelDoesNotFit | ModelNotFound | PlacementError

/** Bytes of a device that are taken by workers which are still loading. */
export type Reserved = (device: Device) => number

const usualContext = 4096

/** Makes the plan of a worker: its device, its model's file, what it may use. Refuses what cannot be had. */
export const make = Effect.gen(function* () {
  const devices = yield* Devices
  const engines = yield* Engines
  const models = yield* Models
  const measure = yield* Machine
  const { engine: settings } = yield* Settings

  return Effect.fn("WorkerPlan.plan")(function* (request: WorkerRequest, reserved: Reserved, say: Say) {
    const present = yield* devices.list
    const installed = yield* engines.all
    const supports = new Map([...installed].map(([name, { backends }]) => [name, backends]))
    const { device, engine } = yield* Effect.fromResult(place(request, present, supports))
    const used = installed.get(engine)
    if (used !== undefined && device.device_type === "cpu") yield* mentionUnusedGpus(present, used, say)

    const { gguf, record } = yield* models.describe(request.model)
    const contextSize = Math.min(gguf.contextLength, settings.contextSize ?? usualContext)
    const memoryBytes = gguf.memoryBytes(contextSize * settings.parallel)
    const free = new Device({ ...device, free_bytes: Math.max(0, device.free_bytes - reserved(device)) })
    yield* Effect.fromResult(checkFit({ id: record.id, memoryBytes }, free))

    const spec: WorkerSpec = {
      id: yield* newId(record.id),
      model: record.id,
      modelPath: record.path ?? "",
      worker: request.worker.toLowerCase() === "auto" ? device.backend : request.worker,
      engine,
      backend: device.backend,
      device: device.index,
      contextSize,
      parallel: settings.parallel,
      threads: settings.threads ?? Math.max(1, measure().cores - 1),
      memoryBytes
    }
    yield* say("place", `${record.id} goes to ${device.description}, engine ${engine}, worker ${spec.id}`)
    return spec
  })
})

const mentionUnusedGpus = (devices: ReadonlyArray<Device>, engine: Engine, say: Say) =>
  Effect.forEach(
    devices.filter(({ backend }) => !engine.backends.includes(backend)),
    (gpu) =>
      say(
        "place",
        `${gpu.description} is not used: the engine '${engine.name}' is installed for ` +
          `${engine.backends.join(", ")} only; '${engine.install}' brings what it needs`
      ),
    { discard: true }
  )

const newId = (model: string) =>
  Effect.map(Random.nextIntBetween(0, 0x1000000), (number) => {
    const last = model.split(/[/:]/).findLast((part) => part !== "") ?? "model"
    const name = last
      .toLowerCase()
      .replace(/\.gguf$/, "")
      .replace(/[^a-z0-9.-]+/g, "-")
      .slice(0, 32)
    return `${/^[a-z0-9]/.test(name) ? name : "model"}-${number.toString(16).padStart(6, "0")}`
  })
