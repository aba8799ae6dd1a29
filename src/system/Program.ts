import { createRequire } from "node:module"
import * as path from "node:path"
import * as Schema from "effect/Schema"

const Manifest = Schema.Struct({ version: Schema.String })

// The package names itself, so this holds in the source tree, in `dist`, in the bundled file and where it is installed.
const require = createRequire(import.meta.url)
const manifest = require.resolve("rbee/package.json")
const dist = path.join(path.dirname(manifest), "dist")

/** The version of this rbee. */
export const version = Schema.decodeUnknownSync(Manifest)(require(manifest)).version

/** The command line's file, to be run by `process.execPath`. */
export const programFile = path.join(dist, "bin.js")

/** Node's flags for a daemon, which has no core to spare and a request each few milliseconds. All are V8's. */
export const daemonFlags = [
  // By itself Node collects with several threads and compiles with four, for which a request waits.
  "--single-threaded-gc",
  "--v8-pool-size=1",
  // All that runs once for a request would be compiled for the second time in the minute after the 3,000th: 700 functions
  // at 3 ms, for no gain that could be measured. What runs for each token gets there in seconds all the same.
  "--invocation-count-for-turbofan=30000",
  // Where little is made, V8 lets the old generation grow by a few MB only, and marked all of it each 3 s at 200 requests
  // a second, 50 ms long. It now grows to 2.5 times what is in use: under load by less than before.
  "--heap-growing-percent=150",
  // When many streams open together V8 takes all that their code makes for long-lived: 25 MB a second, with 400 of them,
  // went where only a full collection looks.
  "--no-allocation-site-pretenuring",
  // Up to 130 MB would come together before somebody looks for garbage.
  "--max-semi-space-size=8"
] as const

const isSourceTree = import.meta.url.endsWith(".ts")

/** The file of the thread that hashes downloads; Node runs it from the source tree as it is, so that it needs no build. */
export const hashThreadFile = isSourceTree
  ? path.join(path.dirname(manifest), "src", "hive", "download", "hashThread.ts")
  : path.join(dist, "hive", "download", "hashThread.js")

/** The file of a worker's own process. */
export const workerFile = path.join(dist, "worker", "main.js")
