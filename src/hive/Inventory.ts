import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Struct from "effect/Struct"
import type { HiveInventory } from "../operation/Inventory.ts"
import { Settings } from "../settings/Settings.ts"
import { type Device, Devices } from "./devices/Devices.ts"
import type { Engine } from "./engines/Engine.ts"
import { Engines } from "./engines/Engines.ts"
import { Models } from "./models/Models.ts"
import { enginesFor } from "./workers/engineSelection.ts"
import { usualShapeOf } from "./workers/usualShape.ts"
import { type ListedWorker, Workers } from "./workers/Workers.ts"

/** A hive's devices with free memory, its models with the memory that a worker needs, and its workers. */
export class Inventory extends Context.Service<
  Inventory,
  {
    readonly snapshot: Effect.Effect<HiveInventory>
    /** The same with the devices of the last measurement, without a new one. */
    readonly known: Effect.Effect<HiveInventory>
  }
>()("rbee/hive/Inventory") {
  static readonly layerNoDeps = Layer.effect(
    Inventory,
    Effect.suspend(() => make)
  )
}

type KnownModels = Effect.Success<Models["Service"]["all"]>
type EngineSettings = Settings["Service"]["engine"]

/** The models with the memory and the context of a worker, and the engines that can serve them. */
const modelsOf = (known: KnownModels, installed: ReadonlyMap<string, Engine>, settings: EngineSettings) =>
  known.map(({ also, created, gguf, record, traits }) => {
    const { created_from: _source, path: _path, memory_bytes: _memory, ...facts } = record
    const { contextSize, minContext, slots } = usualShapeOf(gguf.contextLength, settings)
    return Struct.assign(facts, {
      ...(also.length === 0 ? {} : { also }),
      ...(created === undefined ? {} : { created }),
      memory_bytes: gguf.memoryBytes(contextSize * slots),
      worker_context: contextSize,
      worker_min_context: minContext,
      worker_slots: slots,
      token_bytes: gguf.kvBytesPerToken,
      engines: enginesFor(installed, settings.name, record.path ?? "", traits)
    })
  })

const workerOf = ({ record, requests, spec }: ListedWorker, devices: ReadonlyArray<Device>) => ({
  worker_id: record.id,
  state: record.state,
  model_id: record.model,
  engine: spec.engine,
  device:
    devices.find(({ backend, index }) => backend === spec.backend && index === spec.device)?.id ??
    `${spec.backend}-${spec.device}`,
  slots: spec.parallel,
  busy: requests,
  context_size: spec.contextSize,
  memory_bytes: spec.memoryBytes,
  capabilities: spec.capabilities ?? {}
})

const make = Effect.gen(function* () {
  const devices = yield* Devices
  const engines = yield* Engines
  const models = yield* Models
  const workers = yield* Workers
  const { engine: settings } = yield* Settings
  let measured: ReadonlyArray<Device> | undefined
  const measure = Effect.tap(devices.list, (list) =>
    Effect.sync(() => {
      measured = list
    })
  )

  const inventoryWith = Effect.fnUntraced(function* (devicesNow: Effect.Effect<ReadonlyArray<Device>>) {
    const [present, known, installed] = yield* Effect.all([devicesNow, models.all, engines.all], {
      concurrency: 3
    })
    const usable = installed.get(settings.name)?.backends ?? []
    const list = yield* workers.list
    return {
      devices: present.map(({ backend, device_type, free_bytes, id, name, total_bytes }) => ({
        id,
        name,
        device_type,
        total_bytes,
        free_bytes,
        usable: usable.includes(backend)
      })),
      engines: [...installed.values()].map(({ backends, name }) => ({
        name,
        devices: present.filter(({ backend }) => backends.includes(backend)).map(({ id }) => id)
      })),
      models: modelsOf(known, installed, settings),
      workers: list.map((worker) => workerOf(worker, present))
    }
  })

  return Inventory.of({
    known: Effect.suspend(() => inventoryWith(measured === undefined ? measure : Effect.succeed(measured))),
    snapshot: inventoryWith(measure).pipe(Effect.withSpan("Inventory.snapshot"))
  })
})
