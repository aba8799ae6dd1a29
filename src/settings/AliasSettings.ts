import * as Schema from "effect/Schema"
import { PositiveCount, WorkerKind } from "../operation/fields.ts"

/** A public name of a model, and the requirements for its workers. */
export const AliasSetting = Schema.Struct({
  /** The model's id. */
  model: Schema.NonEmptyString,
  /** The context length: maximum tokens of prompt plus answer per request. */
  context_size: Schema.optionalKey(PositiveCount),
  /** Concurrent requests per worker. */
  parallel: Schema.optionalKey(PositiveCount),
  /** The name of the engine. */
  engine: Schema.optionalKey(WorkerKind),
  /** Only on this hive. */
  hive: Schema.optionalKey(Schema.NonEmptyString),
  /** Only on this device, such as `gpu-0`. */
  device: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[a-z]+-\d{1,3}$/)))
})
export type AliasSetting = typeof AliasSetting.Type

/** The tables `[aliases.NAME]`. */
export const AliasTable = Schema.Record(
  // oxlint-disable-next-line no-control-regex -- it excludes control characters
  Schema.String.check(Schema.isPattern(/^[^\s\u0000-\u001f]{1,128}$/)),
  AliasSetting
).annotate({
  expected: "tables [aliases.NAME] with model and optionally context_size, parallel, engine, hive and device"
})
