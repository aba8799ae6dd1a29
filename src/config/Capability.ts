import * as Schema from "effect/Schema"

/**
 * A device as `/v1/capabilities` shows it. `vram_gb` is its memory in GiB, rounded to one decimal; for the
 * CPU the RAM.
 */
export class Capability extends Schema.Class<Capability>("Capability")({
  id: Schema.String,
  name: Schema.String,
  device_type: Schema.Literals(["gpu", "cpu"]),
  vram_gb: Schema.Finite,
  compute_capability: Schema.NullOr(Schema.String)
}) {}

/**
 * The body of `/v1/capabilities`. A hive's own device may stand for a `Capability`: what the hive knows besides is not
 * written.
 */
export const Capabilities = Schema.Struct({ devices: Schema.Array(Capability) })
export type Capabilities = typeof Capabilities.Type
