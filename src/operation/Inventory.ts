import * as Schema from "effect/Schema"
import { Capabilities } from "./Capabilities.ts"
import { CreatedModel } from "./CreatedModel.ts"
import { WorkerId } from "./fields.ts"

/** A model whose files are on a hive. Sizes in bytes, lengths in tokens. */
export const StoredModel = Schema.Struct({
  id: Schema.String,
  size_bytes: Schema.Finite,
  /** The memory of a worker started with the hive's settings. */
  memory_bytes: Schema.Finite,
  /** Context length and slots of that worker, and the memory per additional token of context. */
  worker_context: Schema.Int,
  worker_slots: Schema.Int,
  /** The worker's minimum context length if memory is short; default: `worker_context`. */
  worker_min_context: Schema.optionalKey(Schema.Int),
  token_bytes: Schema.Finite,
  architecture: Schema.String,
  parameters: Schema.Finite,
  context_length: Schema.Int,
  quantisation: Schema.String,
  chat_template: Schema.Boolean,
  /** Other ids of the model. */
  also: Schema.optionalKey(Schema.Array(Schema.String)),
  /** The definition of a model created from another model; `from` is the model's own id where it came with defaults. */
  created: Schema.optionalKey(CreatedModel),
  /** The model's capabilities with each engine of the hive, the default engine first; absent on an older hive. */
  engines: Schema.optionalKey(
    Schema.Array(Schema.Struct({ name: Schema.String, capabilities: Capabilities }))
  ),
  from: Schema.optionalKey(Schema.String),
  downloaded_at: Schema.optionalKey(Schema.String),
  sha256: Schema.optionalKey(Schema.String)
})
export type StoredModel = typeof StoredModel.Type

/** The response of a hive's `GET /v1/inventory`, from which the queen places requests. Sizes in bytes. */
export const HiveInventory = Schema.Struct({
  /** The installed engines with the ids of the devices that they can use; absent on an older hive. */
  engines: Schema.optionalKey(
    Schema.Array(Schema.Struct({ name: Schema.String, devices: Schema.Array(Schema.String) }))
  ),
  devices: Schema.Array(
    Schema.Struct({
      /** The id in the capabilities, such as `GPU-0`. */
      id: Schema.String,
      name: Schema.String,
      device_type: Schema.Literals(["gpu", "cpu"]),
      total_bytes: Schema.Finite,
      free_bytes: Schema.Finite,
      /** Whether the hive's engine can use the device. */
      usable: Schema.Boolean
    })
  ),
  models: Schema.Array(StoredModel),
  workers: Schema.Array(
    Schema.Struct({
      worker_id: WorkerId,
      state: Schema.String,
      model_id: Schema.String,
      /** The name of its engine. */
      engine: Schema.String,
      device: Schema.String,
      slots: Schema.Int,
      /** Current requests of all clients. */
      busy: Schema.Int,
      /** Context length of one request, in tokens. */
      context_size: Schema.Int,
      memory_bytes: Schema.Finite,
      /** The worker's capabilities; absent on an older hive. */
      capabilities: Schema.optionalKey(Capabilities)
    })
  )
})
export type HiveInventory = typeof HiveInventory.Type
