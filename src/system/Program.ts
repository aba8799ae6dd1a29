import { createRequire } from "node:module"
import * as path from "node:path"
import * as Schema from "effect/Schema"

const Manifest = Schema.Struct({ version: Schema.String })

// Resolving the package by its own name works in the source tree, in `dist`, in the bundled file and when installed.
const require = createRequire(import.meta.url)
const manifest = require.resolve("rbee/package.json")
const dist = path.join(path.dirname(manifest), "dist")

/** The version of this rbee. */
export const version = Schema.decodeUnknownSync(Manifest)(require(manifest)).version

/** The file of the CLI, to be run by `process.execPath`. */
export const programFile = path.join(dist, "bin.js")

/** V8 flags for a daemon, which handles a request every few milliseconds on a busy machine. */
export const daemonFlags = [
  // By default V8 collects and compiles in several threads, which delay requests.
  "--single-threaded-gc",
  "--v8-pool-size=1",
  // By default V8 would optimize all code of the request path within a minute after the 3,000th request: 700 functions at
  // 3 ms each, without a measurable gain. Code of the token path still reaches this limit within seconds.
  "--invocation-count-for-turbofan=30000",
  // At low allocation rates V8 lets the old generation grow by a few MB only: at 200 requests per second it marked the
  // complete heap every 3 s, for 50 ms. With this flag the heap grows to 2.5 times its live size.
  "--heap-growing-percent=150",
  // When many streams open together, V8 predicts that all their objects are long-lived: with 400 streams it allocated
  // 25 MB per second in the old generation, which only a full collection frees.
  "--no-allocation-site-pretenuring",
  // By default the young generation grows to 130 MB before a collection.
  "--max-semi-space-size=8"
] as const

const isSourceTree = import.meta.url.endsWith(".ts")

/** The file of the thread that hashes downloads. Node can run it from the source tree without a build. */
export const hashThreadFile = isSourceTree
  ? path.join(path.dirname(manifest), "src", "hive", "download", "hashThread.ts")
  : path.join(dist, "hive", "download", "hashThread.js")

/** The file of a worker process. */
export const workerFile = path.join(dist, "worker", "main.js")
