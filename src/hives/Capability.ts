import * as Schema from "effect/Schema"

/**
 * A device as `/v1/capabilities` shows it. `vram_gb` is its memory in GiB, rounded down to a whole number; for the CPU
 * it is the RAM. `vram_bytes` is the exact size in bytes; daemons of the original rbee do not send it.
 */
export class Capability extends Schema.Class<Capability>("Capability")({
  id: Schema.String,
  name: Schema.String,
  device_type: Schema.Literals(["gpu", "cpu"]),
  vram_gb: Schema.Finite,
  vram_bytes: Schema.optionalKey(Schema.Finite),
  compute_capability: Schema.NullOr(Schema.String)
}) {}

/**
 * The body of `/v1/capabilities`. A device of a hive is a `Capability` with more fields, which are not encoded.
 */
export const Capabilities = Schema.Struct({ devices: Schema.Array(Capability) })
export type Capabilities = typeof Capabilities.Type
