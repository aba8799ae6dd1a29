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

/**
 * Node's flags for a daemon. By itself Node collects with several threads at once and compiles with four, for which a
 * daemon waits that has no core to spare. It lets up to 130 MB come together before it looks for garbage. And when many
 * streams open together it takes all that their code makes for long-lived: with 400 of them, measured, 25 MB a second
 * went where only a full collection looks.
 */
export const daemonFlags = [
  "--single-threaded-gc",
  "--v8-pool-size=1",
  "--no-allocation-site-pretenuring",
  "--max-semi-space-size=8"
] as const

/** The file of the thread that hashes what a hive downloads. */
export const hashThreadFile = path.join(dist, "hive", "download", "hashThread.js")

/** The file of a worker's own process. */
export const workerFile = path.join(dist, "worker", "main.js")
