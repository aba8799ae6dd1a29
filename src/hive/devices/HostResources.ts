import * as Os from "node:os"
import * as Process from "node:process"
// @effect-diagnostics nodeBuiltinImport:off -- Effect has no service for the machine's memory and processors
import * as Context from "effect/Context"

/** The machine's processors and memory, in bytes, as they are now. */
export interface HostInfo {
  readonly cores: number
  readonly totalBytes: number
  readonly freeBytes: number
}

/**
 * Measures the machine; a limit on the process, such as a container's, counts as the total. On Linux free memory is what
 * is available without swapping: `os.freemem` reads `MemAvailable` of `/proc/meminfo`. On macOS it counts free pages only,
 * without those that the system could reclaim. Tests replace it with `Effect.provideService`.
 */
export const HostResources = Context.Reference<() => HostInfo>("rbee/hive/Machine", {
  defaultValue: () => () => {
    const limit = Process.constrainedMemory()
    const totalBytes = limit > 0 ? Math.min(limit, Os.totalmem()) : Os.totalmem()
    return { cores: Os.availableParallelism(), totalBytes, freeBytes: Math.min(Os.freemem(), totalBytes) }
  }
})
