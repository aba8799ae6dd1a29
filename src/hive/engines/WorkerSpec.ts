import * as Schema from "effect/Schema"
import { Capabilities } from "../../operation/Capabilities.ts"
import { WorkerId } from "../../operation/fields.ts"
import { Backend } from "../devices/Backend.ts"

/** Everything that is needed to start a worker, and to start it again. */
export const WorkerSpec = Schema.Struct({
  id: WorkerId,
  model: Schema.String,
  modelPath: Schema.String,
  /** The file with the chat template that takes the place of the model's own. */
  chatTemplate: Schema.optionalKey(Schema.String),
  /** As it was asked for; never `auto`. */
  worker: Schema.String,
  engine: Schema.String,
  backend: Backend,
  device: Schema.Int,
  /** Tokens that one request may have, prompt and answer together. */
  contextSize: Schema.Int,
  /** Requests that are worked on at the same time. */
  parallel: Schema.Int,
  threads: Schema.Int,
  memoryBytes: Schema.Finite,
  /** What it can do with its model, as its engine said when it was planned. */
  capabilities: Schema.optionalKey(Capabilities)
})
export type WorkerSpec = typeof WorkerSpec.Type
