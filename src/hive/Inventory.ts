import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { HiveInventory } from "../operation/Inventory.ts"
import { Settings } from "../settings/Settings.ts"
import { type Device, Devices } from "./devices/Devices.ts"
import { Engines } from "./engines/Engines.ts"
import { Models } from "./models/Models.ts"
import { enginesFor } from "./workers/engineSelection.ts"
import { usualShapeOf } from "./workers/usualShape.ts"
import { Workers } from "./workers/Workers.ts"

/** What a hive has now: measured devices, models with what a worker of each takes, and workers. */
export class Inventory extends Context.Service<
  Inventory,
  {
    readonly snapshot: Effect.Effect<HiveInventory>
    /** The same with the devices as they were measured last, which costs nothing. */
    readonly known: Effect.Effect<HiveInventory>
  }
>()("rbee/hive/Inventory") {
  static readonly layerNoDeps = Layer.effect(
    Inventory,
    Effect.gen(function* () {
      const devices = yield* Devices
      const engines = yield* Engines
      const models = yield* Models
      const workers = yield* Workers
      const { engine } = yield* Settings

      const stored = Effect.map(Effect.all([models.all, engines.all]), ([known, installed]) =>
        known.map(({ also, created, gguf, record, traits }) => {
          const { created_from: _source, path: _path, memory_bytes: _memory, ...facts } = record
          const { contextSize, minContext, slots } = usualShapeOf(gguf.contextLength, engine)
          return Struct.assign(facts, {
            ...(also.length === 0 ? {} : { also }),
            ...(created === undefined ? {} : { created }),
            memory_bytes: gguf.memoryBytes(contextSize * slots),
            worker_context: contextSize,
            worker_min_context: minContext,
            worker_slots: slots,
            token_bytes: gguf.kvBytesPerToken,
            engines: enginesFor(installed, engine.name, record.path ?? "", traits)
          })
        })
      )

      let measured: ReadonlyArray<Device> | undefined
      const measure = Effect.tap(devices.list, (list) =>
        Effect.sync(() => {
          measured = list
        })
      )

      const inventoryWith = (devicesNow: Effect.Effect<ReadonlyArray<Device>>) =>
        Effect.gen(function* () {
          const [present, known, installed] = yield* Effect.all([devicesNow, stored, engines.all], {
            concurrency: 3
          })
          const backends = installed.get(engine.name)?.backends ?? []
          const list = yield* workers.list
          return {
            devices: present.map(({ backend, device_type, free_bytes, id, name, total_bytes }) => ({
              id,
              name,
              device_type,
              total_bytes,
              free_bytes,
              usable: backends.includes(backend)
            })),
            engines: [...installed.values()].map(({ backends, name }) => ({
              name,
              devices: present.filter(({ backend }) => backends.includes(backend)).map(({ id }) => id)
            })),
            models: known,
            workers: list.map(({ record, requests, spec }) => ({
              worker_id: record.id,
              state: record.state,
              model_id: record.model,
              engine: spec.engine,
              device:
                present.find(({ backend, index }) => backend === spec.backend && index === spec.device)?.id ??
                `${spec.backend}-${spec.device}`,
              slots: spec.parallel,
              busy: requests,
              context_size: spec.contextSize,
              memory_bytes: spec.memoryBytes,
              capabilities: spec.capabilities ?? {}
            }))
          }
        })

      return Inventory.of({
        known: Effect.suspend(() =>
          inventoryWith(measured === undefined ? measure : Effect.succeed(measured))
        ),
        snapshot: inventoryWith(measure).pipe(Effect.withSpan("Inventory.take"))
      })
    })
  )
}

/** As JSON. */
export const encodeInventory = Schema.encodeSync(HiveInventory)
