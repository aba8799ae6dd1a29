import * as Schema from "effect/Schema"
import { Capabilities } from "./Capabilities.ts"
import { CreatedModel } from "./CreatedModel.ts"
import { WorkerId } from "./fields.ts"

/** A model whose file is on a hive. Sizes in bytes, lengths in tokens. */
export const StoredModel = Schema.Struct({
  id: Schema.String,
  size_bytes: Schema.Finite,
  /** What a worker takes that is started with it as the hive's settings say. */
  memory_bytes: Schema.Finite,
  /** Tokens that one request of such a worker may have, requests at the same time, and what each token more takes. */
  worker_context: Schema.Int,
  worker_slots: Schema.Int,
  /** The context that such a worker gets at least, where memory is short; absent: `worker_context`. */
  worker_min_context: Schema.optionalKey(Schema.Int),
  token_bytes: Schema.Finite,
  architecture: Schema.String,
  parameters: Schema.Finite,
  context_length: Schema.Int,
  quantisation: Schema.String,
  chat_template: Schema.Boolean,
  /** Other ids that it is known by. */
  also: Schema.optionalKey(Schema.Array(Schema.String)),
  /** How it was made from another model. */
  created: Schema.optionalKey(CreatedModel),
  /** What a worker of each engine of the hive can do with it, the default engine first; absent on an older hive. */
  engines: Schema.optionalKey(
    Schema.Array(Schema.Struct({ name: Schema.String, capabilities: Capabilities }))
  ),
  from: Schema.optionalKey(Schema.String),
  downloaded_at: Schema.optionalKey(Schema.String),
  sha256: Schema.optionalKey(Schema.String)
})
export type StoredModel = typeof StoredModel.Type

/** What a hive answers on `GET /v1/inventory`: all that its queen needs to place requests. Sizes in bytes. */
export const HiveInventory = Schema.Struct({
  /** The engines that are installed, with the ids of the devices that they can use; absent on an older hive. */
  engines: Schema.optionalKey(
    Schema.Array(Schema.Struct({ name: Schema.String, devices: Schema.Array(Schema.String) }))
  ),
  devices: Schema.Array(
    Schema.Struct({
      /** As in the capabilities, such as `GPU-0`. */
      id: Schema.String,
      name: Schema.String,
      device_type: Schema.Literals(["gpu", "cpu"]),
      total_bytes: Schema.Finite,
      free_bytes: Schema.Finite,
      /** Whether the hive's engine can compute on it. */
      usable: Schema.Boolean
    })
  ),
  models: Schema.Array(StoredModel),
  workers: Schema.Array(
    Schema.Struct({
      worker_id: WorkerId,
      state: Schema.String,
      model_id: Schema.String,
      /** The name of what made it. */
      engine: Schema.String,
      device: Schema.String,
      slots: Schema.Int,
      /** Requests that it works on now, whoever sent them. */
      busy: Schema.Int,
      /** Tokens that one request may have. */
      context_size: Schema.Int,
      memory_bytes: Schema.Finite,
      /** What it can do; not known of an older hive's worker. */
      capabilities: Schema.optionalKey(Capabilities)
    })
  )
})
export type HiveInventory = typeof HiveInventory.Type
