import * as Schema from "effect/Schema"

/** Through what a device computes. */
export const Backend = Schema.Literals(["cuda", "rocm", "metal", "vulkan", "cpu"])
export type Backend = typeof Backend.Type
