import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { Paths } from "../config/Paths.ts"
import { workerFile } from "../config/Program.ts"
import type { Backend } from "./Devices.ts"
import { defaultEngine } from "./Placement.ts"
import type { WorkerSpec } from "./WorkerRecord.ts"

/** How the process of a worker is started. It must speak the OpenAI API on loopback, and log to stdout or stderr. */
export interface EngineCommand {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

/** A program that makes workers. */
export interface Engine {
  readonly name: string
  /** Through what it can compute, as it is installed here. */
  readonly backends: ReadonlyArray<Backend>
  /** How to get it for the devices that it cannot use yet. */
  readonly install: string
  readonly command: (spec: WorkerSpec, port: number) => EngineCommand
}

/** The exit code of a worker that found its port in use: another port is worth a try. */
export const portInUse = 98

/** The engines of this hive. */
export class Engines extends Context.Service<
  Engines,
  {
    /** By name, as they are installed now. */
    readonly all: Effect.Effect<ReadonlyMap<string, Engine>>
  }
>()("rbee/hive/Engines") {
  /** The built-in llama engine, whose worker is the given file of JavaScript or TypeScript. */
  static readonly layerWith = (worker: string) =>
    Layer.effect(
      Engines,
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const { data } = yield* Paths
        const folder = path.join(data, "engines", defaultEngine)
        const variants = fs
          .readDirectory(path.join(folder, "node_modules", "@node-llama-cpp"))
          .pipe(Effect.orElseSucceed((): ReadonlyArray<string> => []))
        const llama = Effect.map(variants, (names) => makeLlama(worker, folder, names))
        return Engines.of({ all: Effect.map(llama, (engine) => new Map([[engine.name, engine]])) })
      })
    )

  static readonly layerNoDeps = this.layerWith(workerFile)

  /** These engines and no others. */
  static readonly layerMemory = (engines: ReadonlyArray<Engine>) =>
    Layer.succeed(
      Engines,
      Engines.of({ all: Effect.succeed(new Map(engines.map((engine) => [engine.name, engine]))) })
    )
}

const gpuBackends = ["cuda", "vulkan", "metal"] as const

/** The llama engine, with the packages of its folder: `linux-x64-cuda` and the like bring a GPU's backend. */
const makeLlama = (worker: string, folder: string, packages: ReadonlyArray<string>): Engine => ({
  name: defaultEngine,
  backends: [
    ...gpuBackends.filter((backend) => packages.some((name) => name.split("-").includes(backend))),
    "cpu"
  ],
  install: `rbee engine install ${defaultEngine}`,
  command: (spec, port) => ({
    command: process.execPath,
    args: [
      worker,
      "--model",
      spec.modelPath,
      "--model-id",
      spec.model,
      "--port",
      String(port),
      "--host",
      "127.0.0.1",
      "--ctx-size",
      String(spec.contextSize),
      "--parallel",
      String(spec.parallel),
      "--threads",
      String(spec.threads),
      "--device",
      `${spec.backend === "cpu" ? "cpu" : "gpu"}-${spec.device}`,
      "--engine-dir",
      folder
    ],
    // The process sees one GPU and no other; devices are numbered as nvidia-smi does it.
    env:
      spec.backend === "cuda"
        ? { CUDA_DEVICE_ORDER: "PCI_BUS_ID", CUDA_VISIBLE_DEVICES: String(spec.device) }
        : {}
  })
})
