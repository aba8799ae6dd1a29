import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import type * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import * as DeviceTool from "./DeviceTool.ts"

/** What `--list-devices` of a worker prints in one line. */
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

/** Where things are: the folder in which the engine is installed, and the file of the worker's program. */
export interface EngineFiles {
  readonly folder: string
  readonly worker: string
}

/**
 * Makes the question for the GPUs that the llama engine reaches through Vulkan or Metal. No tool tells of them, so
 * a worker is started that loads the engine and lists them; only where the engine has such a backend installed.
 * On Apple's machines the memory is what Metal advises to use of the memory that the GPU shares with the CPU.
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

/** Reads the worker's line; what the engine or a driver printed before it does not matter. */
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
  // The engine tells the memory of all devices together: of several it is not known how much each has.
  if (device.total_bytes <= 0) return `'${name}', whose own memory the engine does not tell`
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
