import * as Schema from "effect/Schema"

/** The compute API of a device. */
export const Backend = Schema.Literals(["cuda", "rocm", "metal", "vulkan", "cpu"])
export type Backend = typeof Backend.Type
