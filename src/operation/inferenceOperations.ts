import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  CompletionApi,
  DeviceChoice,
  HiveId,
  ModelName,
  Probability,
  Prompt,
  Temperature,
  Uint32,
  WorkerId
} from "./fields.ts"
import { hiveGeneration } from "./Routing.ts"

/** Continues a prompt without a chat template, token by token. */
export class Infer extends Schema.Class<Infer>("Infer")({
  operation: Schema.tag("infer"),
  hive_id: HiveId,
  model: ModelName,
  prompt: Prompt,
  max_tokens: Uint32,
  temperature: Temperature,
  top_p: Schema.optionalKey(Probability),
  top_k: Schema.optionalKey(Uint32),
  device: Schema.optionalKey(DeviceChoice),
  worker_id: Schema.optionalKey(WorkerId),
  stream: Schema.Boolean.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(true)),
    Schema.withConstructorDefault(Effect.succeed(true))
  )
}) {
  static readonly routing = hiveGeneration
}

/**
 * An application's request. `api` is the worker's path below `/v1/`; `body` is sent to that path after the hive has set
 * the model id and streaming in it. The answer is a series of `chunk` events with the worker's unchanged data, or a
 * `result` for embeddings.
 */
export class Complete extends Schema.Class<Complete>("Complete")({
  operation: Schema.tag("complete"),
  hive_id: HiveId,
  model: ModelName,
  worker_id: Schema.optionalKey(WorkerId),
  api: CompletionApi,
  body: Schema.Record(Schema.String, Schema.Unknown)
}) {
  static readonly routing = hiveGeneration
}
