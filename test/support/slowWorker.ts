import { pace } from "./paced.ts"

// The worker as it is, at the pace of a large model.
pace(4)

await import("../../src/worker/main.ts")
