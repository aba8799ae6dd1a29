import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { PositiveCount, WorkerKind } from "../operation/fields.ts"
import type { SettingCodec } from "./settingCodecs.ts"

/** A name that applications use for a model, and what a worker that is started for it is like. */
export const AliasSetting = Schema.Struct({
  /** The model's id. */
  model: Schema.NonEmptyString,
  /** Tokens that one request may have, prompt and answer together. */
  context_size: Schema.optionalKey(PositiveCount),
  /** Requests that its worker works on at the same time. */
  parallel: Schema.optionalKey(PositiveCount),
  /** The engine of its worker, by its name. */
  engine: Schema.optionalKey(WorkerKind),
  /** Only on this hive. */
  hive: Schema.optionalKey(Schema.NonEmptyString),
  /** Only on this device, such as `gpu-0`. */
  device: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[a-z]+-\d{1,3}$/)))
})
export type AliasSetting = typeof AliasSetting.Type

const Table = Schema.Record(
  // oxlint-disable-next-line no-control-regex -- control characters are what it keeps out
  Schema.String.check(Schema.isPattern(/^[^\s\u0000-\u001f]{1,128}$/)),
  AliasSetting
)
const decode = Schema.decodeUnknownOption(Table, { onExcessProperty: "error" })

/** Reads the tables `[aliases.NAME]`. */
export const aliasTable: SettingCodec<Readonly<Record<string, AliasSetting>>> = {
  expected: "tables [aliases.NAME] with model, and if wanted context_size, parallel, engine, hive and device",
  read: (raw) => (typeof raw === "string" ? Option.none() : decode(raw))
}
