import { pace } from "./paced.ts"

// The worker as it is, at a pace at which several answers take seconds, also on a machine that does more.
pace(25)

await import("../../src/worker/main.ts")
