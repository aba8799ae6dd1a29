import * as Schema from "effect/Schema"
import { Capabilities } from "../../operation/Capabilities.ts"
import { WorkerId } from "../../operation/fields.ts"
import { Backend } from "../devices/Backend.ts"

/** Everything that is needed to start a worker and to restart it. */
export const WorkerSpec = Schema.Struct({
  id: WorkerId,
  model: Schema.String,
  modelPath: Schema.String,
  /** The file with the chat template that replaces the model's own. */
  chatTemplate: Schema.optionalKey(Schema.String),
  /** The request's `worker`, or the device's backend instead of `auto`. */
  worker: Schema.String,
  engine: Schema.String,
  backend: Backend,
  device: Schema.Int,
  /** Tokens that one request may have, prompt and answer together. */
  contextSize: Schema.Int,
  /** Slots: requests at the same time. */
  parallel: Schema.Int,
  threads: Schema.Int,
  memoryBytes: Schema.Finite,
  /** What the worker can do with its model, from its engine at planning time. */
  capabilities: Schema.optionalKey(Capabilities)
})
export type WorkerSpec = typeof WorkerSpec.Type
