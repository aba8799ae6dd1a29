import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import type * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import * as DeviceTool from "./DeviceTool.ts"

/** The line that a worker prints for `--list-devices`. */
const Listing = Schema.fromJsonString(Schema.Struct({ devices: Schema.Array(Schema.Unknown) }))

const Listed = Schema.Struct({
  name: Schema.String,
  backend: Schema.Literals(["vulkan", "metal"]),
  total_bytes: Schema.Int,
  free_bytes: Schema.Int
})

const decodeListing = Schema.decodeOption(Listing)
const decodeListed = Schema.decodeUnknownOption(Listed)
const maxDevices = 64

/** The folder in which the engine is installed, and the file of the worker's program. */
export interface EngineFiles {
  readonly folder: string
  readonly worker: string
}

/**
 * An effect that lists the GPUs which the llama engine reaches through Vulkan or Metal. No tool reports them, so a worker
 * process loads the engine and lists them, where such a backend is installed. On Apple machines the memory is the part of
 * the shared memory that Metal recommends to use.
 */
export const make = (
  { folder, worker }: EngineFiles,
  fs: FileSystem.FileSystem,
  path: Path.Path,
  spawner: ChildProcessSpawner.ChildProcessSpawner["Service"]
) => {
  const tool: DeviceTool.DeviceTool = {
    name: "llama engine",
    command: ChildProcess.make(
      process.execPath,
      [worker, "--list-devices", "--engine-dir", folder],
      DeviceTool.runOptions
    ),
    parse
  }
  const packages = fs
    .readDirectory(path.join(folder, "node_modules", "@node-llama-cpp"))
    .pipe(Effect.orElseSucceed((): ReadonlyArray<string> => []))
  return Effect.map(DeviceTool.make(tool, spawner), (ask) =>
    Effect.flatMap(packages, (names) =>
      names.some((name) => /-(vulkan|metal)$/.test(name)) ? ask : Effect.succeed([])
    )
  )
}

/** Reads the worker's line, the last one; the engine or a driver may print others before it. */
export const parse = (output: string): DeviceTool.Report => {
  const line = output.split(/\r?\n/).findLast((line) => line.trim() !== "")
  if (line === undefined) return DeviceTool.report([])
  const listing = decodeListing(line)
  if (Option.isNone(listing)) return DeviceTool.report([`line '${DeviceTool.sanitized(line, 120)}'`])
  return DeviceTool.report(listing.value.devices.slice(0, maxDevices).map(readDevice))
}

const readDevice = (value: unknown, index: number): DeviceTool.Gpu | string => {
  const device = Option.getOrUndefined(decodeListed(value))
  if (device === undefined) return `device ${index}`
  const name = DeviceTool.sanitized(device.name, 200)
  // The engine reports the memory of all devices together: with several it is unknown how much each of them has.
  if (device.total_bytes <= 0) return `'${name}', whose own memory the engine does not report`
  if (device.free_bytes < 0 || device.free_bytes > device.total_bytes) return `device '${name}'`
  return {
    backend: device.backend,
    index,
    name: name === "" ? device.backend : name,
    totalBytes: device.total_bytes,
    freeBytes: device.free_bytes,
    computeCapability: null
  }
}
