import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Narrate } from "../../job/withNarration.ts"
import {
  type Capability,
  CapabilityMissing,
  canReplace,
  missingCapability,
  missingEverywhere
} from "../../operation/Capabilities.ts"
import { shapesOf, type UsualShape } from "../../operation/WorkerShape.ts"
import { Settings } from "../../settings/Settings.ts"
import { Device, Devices } from "../devices/Devices.ts"
import { HostResources } from "../devices/HostResources.ts"
import { type Engine, EngineNotInstalled, EngineRefusesModel } from "../engines/Engine.ts"
import { Engines } from "../engines/Engines.ts"
import type { WorkerSpec } from "../engines/WorkerSpec.ts"
import type { GgufError } from "../gguf/GgufFile.ts"
import type { ModelTraits } from "../gguf/GgufTraits.ts"
import type { InvalidModelId } from "../models/ModelId.ts"
import { type ModelNotFound, Models } from "../models/Models.ts"
import { checkFit, type ModelDoesNotFit, place, type PlacementError } from "./Placement.ts"

/** A worker that is wanted. */
export interface SpawnRequest {
  readonly model: string
  readonly worker: string
  readonly device?: number | undefined
  /** Tokens that one request may have; see `usualShapeOf` for what it is when it is not given. */
  readonly contextSize?: number | undefined
  /** Tokens that one request must be able to have, where `contextSize` is not given. */
  readonly minContext?: number | undefined
  /** What it must be able to do, where `worker` leaves the choice of the engine open. */
  readonly capabilities?: ReadonlyArray<Capability> | undefined
  /** Requests at the same time; the setting's when it is not given. */
  readonly parallel?: number | undefined
}

/** A longer context was asked for than the model was trained for. Both in tokens. */
export class ContextTooLong extends Schema.TaggedError<ContextTooLong>()("ContextTooLong", {
  model: Schema.String,
  asked: Schema.Int,
  most: Schema.Int
}) {
  override get message() {
    return `Model '${this.model}' was trained for a context of ${this.most} tokens, and ${this.asked} were asked for; ask for ${this.most} or less`
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

/** What the workers that are there have to do with a device's memory. */
export interface MemoryUse {
  /** Bytes that are taken by workers which are still loading. */
  readonly reserved: (device: Device) => number
  /** Whether a worker has ended a moment ago, whose memory may not be seen as free yet. */
  readonly freedLately: (device: Device) => boolean
}

/** What the plan of a worker must know of the others. */
export interface Others extends MemoryUse {
  /** Whether a worker has this id already. */
  readonly isTaken: (id: string) => boolean
}

const maxDefaultContext = 8192
const minDefaultContext = 2048

/**
 * What a worker is like when nobody asks anything of it, of a model that was trained for `longest` tokens: the model's own
 * context, at most 8,192 tokens, and at least 2,048 where memory is short. A setting for the context is exact.
 */
export const usualShapeOf = (
  longest: number,
  settings: { readonly contextSize: number | undefined; readonly parallel: number }
): UsualShape => {
  const contextSize = Math.min(longest, settings.contextSize ?? maxDefaultContext)
  return {
    contextSize,
    slots: settings.parallel,
    minContext: settings.contextSize === undefined ? Math.min(contextSize, minDefaultContext) : contextSize,
    maxContext: longest
  }
}

const freeMemoryTimeout = Schedule.spaced("200 millis").pipe(Schedule.upTo({ times: 25 }))

/** Makes the plan of a worker: its device, its model's file, what it may use. Refuses what cannot be had. */
export const make = Effect.gen(function* () {
  const devices = yield* Devices
  const engines = yield* Engines
  const models = yield* Models
  const measure = yield* HostResources
  const { engine: settings } = yield* Settings

  // The engine that is named, else the default engine, unless it cannot do what is needed and another one here can.
  const engineFor = Effect.fnUntraced(function* (
    { capabilities = [], model, worker }: SpawnRequest,
    installed: ReadonlyMap<string, Engine>
  ) {
    if (capabilities.length === 0) return undefined
    const { record, traits } = yield* models.describe(model)
    const serving = enginesFor(installed, settings.name, record.path ?? "", traits).filter(
      ({ name }) => worker === "auto" || name === worker
    )
    const [first, ...others] = serving
    const lacked = missingCapability(capabilities, first?.capabilities)
    if (first === undefined || lacked === undefined) return undefined
    const able = others.find((one) => canReplace(capabilities, first.capabilities, one.capabilities))
    if (able !== undefined) return able.name
    const capability = missingEverywhere(capabilities, serving) ?? lacked
    return yield* new CapabilityMissing({ model: record.id, capability })
  })

  return Effect.fn("WorkerPlan.plan")(function* (request: SpawnRequest, others: Others, narrate: Narrate) {
    const present = yield* devices.list
    const installed = yield* engines.all
    const engineName = yield* engineFor(request, installed)
    const asking = { ...request, worker: engineName ?? request.worker }
    const supports = new Map([...installed].map(([name, { backends }]) => [name, backends]))
    const named = installed.get(asking.worker === "auto" ? settings.name : asking.worker)
    if (named?.missing !== undefined) {
      return yield* new EngineNotInstalled({
        engine: named.name,
        reason: named.missing,
        install: named.install
      })
    }
    const { device, engine } = yield* Effect.fromResult(place(asking, present, supports, settings.name))
    const used = installed.get(engine)
    if (used !== undefined && device.device_type === "cpu") yield* mentionUnusedGpus(present, used, narrate)

    const { gguf, record, serves, traits } = yield* models.describe(request.model)
    const reason =
      used?.refuses?.(record.path ?? "") ??
      (serves.chatTemplate !== undefined && used?.chatTemplates !== true
        ? "the model has a chat template of its own, which this engine cannot be given"
        : undefined)
    if (reason !== undefined) return yield* new EngineRefusesModel({ engine, model: record.id, reason })
    const asked = request.contextSize
    if (asked !== undefined && asked > gguf.contextLength) {
      return yield* new ContextTooLong({ model: record.id, asked, most: gguf.contextLength })
    }
    const shapes = shapesOf(
      { contextSize: asked, minContext: request.minContext, slots: request.parallel },
      usualShapeOf(gguf.contextLength, settings)
    ).map(({ contextSize, slots }) => ({
      contextSize,
      parallel: slots,
      memoryBytes: gguf.memoryBytes(contextSize * slots)
    }))
    const fits = (memoryBytes: number, measured: Device) =>
      Effect.fromResult(
        checkFit(
          { id: record.id, memoryBytes },
          new Device({
            ...measured,
            free_bytes: Math.max(0, measured.free_bytes - others.reserved(measured))
          })
        )
      )
    const measureAgain = Effect.map(devices.list, (list) => list.find(({ id }) => id === device.id) ?? device)
    const fitting = (measured: Device) =>
      Effect.firstSuccessOf(shapes.map((shape) => Effect.as(fits(shape.memoryBytes, measured), shape)))
    const [best] = shapes
    const isShort =
      best !== undefined && Result.isFailure(yield* Effect.result(fits(best.memoryBytes, device)))
    const isWaiting = isShort && others.freedLately(device)
    if (isWaiting) {
      yield* narrate("place", `Waiting for memory of ${device.short} that was just given back`)
      const room = Effect.flatMap(measureAgain, (measured) => fits(best.memoryBytes, measured))
      yield* Effect.ignore(Effect.retry(room, freeMemoryTimeout))
    }
    const { contextSize, memoryBytes, parallel } = yield* isWaiting
      ? Effect.flatMap(measureAgain, fitting)
      : fitting(device)

    const spec: WorkerSpec = {
      id: yield* Effect.repeat(newId(serves.id), { while: others.isTaken }),
      model: serves.id,
      modelPath: record.path ?? "",
      ...(serves.chatTemplate === undefined ? {} : { chatTemplate: serves.chatTemplate }),
      worker: request.worker.toLowerCase() === "auto" ? device.backend : request.worker,
      engine,
      backend: device.backend,
      device: device.index,
      contextSize,
      parallel,
      threads: settings.threads ?? Math.max(1, measure().cores - 1),
      memoryBytes,
      ...(used?.capabilities === undefined ? {} : { capabilities: used.capabilities(traits) })
    }
    yield* narrate("place", `${record.id} goes to ${device.description}, engine ${engine}, worker ${spec.id}`)
    return spec
  })
})

/** The engines that can serve a model's file, the default one first, and what their workers can do with it. */
export const enginesFor = (
  installed: ReadonlyMap<string, Engine>,
  defaultEngine: string,
  path: string,
  traits: ModelTraits
) =>
  [...installed.values()]
    .filter(({ missing, refuses }) => missing === undefined && refuses?.(path) === undefined)
    .sort((left, right) => Number(right.name === defaultEngine) - Number(left.name === defaultEngine))
    .map(({ capabilities, name }) => ({ name, capabilities: capabilities?.(traits) ?? {} }))

const mentionUnusedGpus = (devices: ReadonlyArray<Device>, engine: Engine, narrate: Narrate) =>
  Effect.forEach(
    devices.filter(({ backend }) => !engine.backends.includes(backend)),
    (gpu) =>
      narrate(
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
