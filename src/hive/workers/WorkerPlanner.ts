import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Narrate } from "../../job/withNarration.ts"
import type { Capability, CapabilityMissing } from "../../operation/Capabilities.ts"
import { shapesOf } from "../../operation/WorkerShape.ts"
import { Settings } from "../../settings/Settings.ts"
import { type Device, Devices } from "../devices/Devices.ts"
import { HostResources } from "../devices/HostResources.ts"
import type { Engine, EngineNotInstalled, EngineRefusesModel } from "../engines/Engine.ts"
import { Engines } from "../engines/Engines.ts"
import type { WorkerSpec } from "../engines/WorkerSpec.ts"
import type { Gguf } from "../gguf/Gguf.ts"
import type { GgufError } from "../gguf/GgufFile.ts"
import type { ModelNotFound } from "../models/modelErrors.ts"
import type { InvalidModelId } from "../models/ModelId.ts"
import { Models } from "../models/Models.ts"
import { checkInstalled, checkServable, enginesFor, replacementFor } from "./engineSelection.ts"
import { fitShape, type MemoryUse, type SizedShape } from "./memoryFit.ts"
import { newWorkerId } from "./newWorkerId.ts"
import { type ModelDoesNotFit, place, type PlacementError } from "./Placement.ts"
import { usualShapeOf } from "./usualShape.ts"

/** The requirements for a new worker. */
export interface SpawnRequest {
  readonly model: string
  readonly worker: string
  readonly device?: number | undefined
  /** Tokens that one request may have; the default is that of `usualShapeOf`. */
  readonly contextSize?: number | undefined
  /** Tokens that one request must be able to have, where `contextSize` is absent. */
  readonly minContext?: number | undefined
  /** The capabilities that the worker must have, where `worker` leaves the choice of the engine open. */
  readonly capabilities?: ReadonlyArray<Capability> | undefined
  /** Requests at the same time; the default is the setting's. */
  readonly parallel?: number | undefined
}

/** The request asks for a longer context than the model was trained for. Both in tokens. */
export class ContextTooLong extends Schema.TaggedError<ContextTooLong>()("ContextTooLong", {
  model: Schema.String,
  asked: Schema.Int,
  most: Schema.Int
}) {
  override get message() {
    return `Context length ${this.asked} exceeds the maximum of ${this.most} tokens for model '${this.model}'`
  }
}

export type PlanError =
  | CapabilityMissing
  | ContextTooLong
  | EngineNotInstalled
  | EngineRefusesModel
  | GgufError
  | InvalidModelId
  | ModelDoesNotFit
  | ModelNotFound
  | PlacementError

/** What the plan of a worker needs to know about the other workers. */
export interface OtherWorkers extends MemoryUse {
  readonly isTaken: (id: string) => boolean
}

/** Plans workers: chooses device, engine, context and slots, and refuses what is not possible. */
export class WorkerPlanner extends Context.Service<
  WorkerPlanner,
  {
    readonly plan: (
      request: SpawnRequest,
      others: OtherWorkers,
      narrate: Narrate
    ) => Effect.Effect<WorkerSpec, PlanError>
  }
>()("rbee/hive/workers/WorkerPlanner") {
  static readonly layerNoDeps = Layer.effect(
    WorkerPlanner,
    Effect.suspend(() => make)
  )
}

/** The shapes that the worker may have, the best one first, with the memory that each takes. */
const sizedShapes = (
  { contextSize: asked, minContext, parallel }: SpawnRequest,
  model: string,
  gguf: Gguf,
  settings: Settings["Service"]["engine"]
): Result.Result<ReadonlyArray<SizedShape>, ContextTooLong> => {
  const most = gguf.contextLength
  if (asked !== undefined && asked > most) return Result.fail(new ContextTooLong({ model, asked, most }))
  const shapes = shapesOf({ contextSize: asked, minContext, slots: parallel }, usualShapeOf(most, settings))
  return Result.succeed(
    shapes.map(({ contextSize, slots }) => ({
      contextSize,
      parallel: slots,
      memoryBytes: gguf.memoryBytes(contextSize * slots)
    }))
  )
}

const make = Effect.gen(function* () {
  const devices = yield* Devices
  const engines = yield* Engines
  const models = yield* Models
  const measureHost = yield* HostResources
  const { engine: settings } = yield* Settings

  const replacement = Effect.fnUntraced(function* (
    { capabilities = [], model, worker }: SpawnRequest,
    installed: ReadonlyMap<string, Engine>
  ) {
    if (capabilities.length === 0) return undefined
    const { record, traits } = yield* models.describe(model)
    const serving = enginesFor(installed, settings.name, record.path ?? "", traits).filter(
      ({ name }) => worker === "auto" || name === worker
    )
    return yield* Effect.fromResult(replacementFor(capabilities, serving, record.id))
  })

  const chooseDevice = Effect.fnUntraced(function* (request: SpawnRequest, narrate: Narrate) {
    const present = yield* devices.list
    const installed = yield* engines.all
    const worker = (yield* replacement(request, installed)) ?? request.worker
    yield* Effect.fromResult(checkInstalled(installed.get(worker === "auto" ? settings.name : worker)))
    const supports = new Map([...installed].map(([name, { backends }]) => [name, backends]))
    const { device, engine: name } = yield* Effect.fromResult(
      place({ ...request, worker }, present, supports, settings.name)
    )
    const engine = installed.get(name)
    if (engine !== undefined && device.device_type === "cpu") {
      yield* narrateUnusedGpus(present, engine, narrate)
    }
    return { device, name, engine }
  })

  const chooseShape = Effect.fnUntraced(function* (
    request: SpawnRequest,
    model: { readonly id: string; readonly gguf: Gguf },
    device: Device,
    others: OtherWorkers,
    narrate: Narrate
  ) {
    const { gguf, id } = model
    const shapes = yield* Effect.fromResult(sizedShapes(request, id, gguf, settings))
    const measure = Effect.map(devices.list, (list) => list.find((one) => one.id === device.id) ?? device)
    return yield* fitShape(id, shapes, device, measure, others, narrate)
  })

  const plan = Effect.fn("WorkerPlanner.plan")(function* (
    request: SpawnRequest,
    others: OtherWorkers,
    narrate: Narrate
  ) {
    const { device, engine, name } = yield* chooseDevice(request, narrate)
    const { gguf, record, serves, traits } = yield* models.describe(request.model)
    const { id, path = "" } = record
    const { chatTemplate } = serves
    yield* Effect.fromResult(checkServable(engine, { id, path, chatTemplate }))
    const shape = yield* chooseShape(request, { id, gguf }, device, others, narrate)
    const spec: WorkerSpec = {
      id: yield* Effect.repeat(newWorkerId(serves.id), { while: others.isTaken }),
      model: serves.id,
      modelPath: path,
      ...(chatTemplate === undefined ? {} : { chatTemplate }),
      worker: request.worker.toLowerCase() === "auto" ? device.backend : request.worker,
      engine: name,
      backend: device.backend,
      device: device.index,
      ...shape,
      threads: settings.threads ?? Math.max(1, measureHost().cores - 1),
      ...(engine?.capabilities === undefined ? {} : { capabilities: engine.capabilities(traits) })
    }
    yield* narrate("place", `Placing ${id} on ${device.description} (engine ${name}, worker ${spec.id})`)
    return spec
  })

  return WorkerPlanner.of({ plan })
})

const narrateUnusedGpus = (devices: ReadonlyArray<Device>, engine: Engine, narrate: Narrate) =>
  Effect.forEach(
    devices.filter(({ backend }) => !engine.backends.includes(backend)),
    (gpu) =>
      narrate(
        "place",
        `${gpu.description} is not used: the engine '${engine.name}' is installed for ` +
          `${engine.backends.join(", ")} only; '${engine.install}' installs what is missing`
      ),
    { discard: true }
  )
