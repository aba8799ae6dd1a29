import * as Cache from "effect/Cache"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import { isTemplate, type ProgramSetting } from "../../settings/EngineSettings.ts"
import { variable } from "../../settings/environment.ts"
import { Paths } from "../../settings/Paths.ts"
import { Settings } from "../../settings/Settings.ts"
import { noSecrets } from "../../system/childEnvironment.ts"
import { workerFile } from "../../system/Program.ts"
import { type Engine, builtInEngine } from "./Engine.ts"
import { makeLlama } from "./Llama.ts"
import { makeLlamaServer } from "./LlamaServer.ts"
import { makeTemplate } from "./Template.ts"
import { makeVllm } from "./Vllm.ts"

/** The exit code of a worker whose port is in use; the hive tries another port. */
export const portInUse = 98

/** The engines of this hive. */
export class Engines extends Context.Service<
  Engines,
  {
    /** The engines by name, with what is installed now. */
    readonly all: Effect.Effect<ReadonlyMap<string, Engine>>
  }
>()("rbee/hive/engines/Engines") {
  /**
   * The built-in llama engine, whose worker is the given JavaScript or TypeScript file; llama-server and vLLM, where they
   * are found; and the engines of the settings.
   */
  static readonly layerWith = (worker: string) =>
    Layer.effect(
      Engines,
      Effect.suspend(() => make(worker))
    )

  static readonly layerNoDeps = this.layerWith(workerFile)

  /** Exactly these engines. */
  static readonly layerMemory = (engines: ReadonlyArray<Engine>) =>
    Layer.succeed(Engines, Engines.of({ all: Effect.succeed(byName(engines)) }))

  /** Adds an application's engines to those of another layer; an engine with the same name replaces the other. */
  static readonly layerAdding = (engines: ReadonlyArray<Engine>) =>
    Layer.effect(
      Engines,
      Effect.map(Engines, ({ all }) =>
        Engines.of({ all: Effect.map(all, (known) => new Map([...known, ...byName(engines)])) })
      )
    )
}

const byName = (engines: ReadonlyArray<Engine>) => new Map(engines.map((engine) => [engine.name, engine]))

const llamaServerName = "llama-server"
const vllmName = "vllm"
const listTimeout = "2 seconds"
const listed = "10 minutes"
const maxPrograms = 16

const decodeName = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ name: Schema.String })))

const make = Effect.fnUntraced(function* (worker: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const { data } = yield* Paths
  const { engines: settings } = yield* Settings
  const searched = Option.getOrElse(yield* variable("PATH"), () => "").split(
    process.platform === "win32" ? ";" : ":"
  )

  const folder = path.join(data, "engines", builtInEngine)
  const packages = path.join(folder, "node_modules", "@node-llama-cpp")
  // npm leaves an empty package with another name in the folder of an optional package that it did not install.
  const isReal = (entry: string) =>
    fs.readFileString(path.join(packages, entry, "package.json")).pipe(
      Effect.map((text) =>
        Option.exists(decodeName(text), ({ name }) => name === `@node-llama-cpp/${entry}`)
      ),
      Effect.orElseSucceed(() => false)
    )
  const llama = fs.readDirectory(packages).pipe(
    Effect.orElseSucceed((): ReadonlyArray<string> => []),
    Effect.flatMap(Effect.filter(isReal)),
    Effect.map((real) => makeLlama(builtInEngine, worker, folder, real))
  )

  const isProgram = (file: string) =>
    Effect.match(fs.access(file, { ok: true }), { onFailure: () => false, onSuccess: () => true })

  const find = Effect.fnUntraced(function* (name: string, setting: ProgramSetting) {
    const places =
      setting.program === undefined
        ? searched.filter(path.isAbsolute).map((place) => path.join(place, name))
        : [setting.program]
    return Option.getOrUndefined(yield* Effect.findFirst(places, isProgram))
  })

  // Running the program takes a moment, and its build does not change.
  const devicesOf = yield* Cache.make({
    capacity: maxPrograms,
    timeToLive: listed,
    lookup: (program: string) =>
      spawner
        .string(
          ChildProcess.make(program, ["--list-devices"], { stdin: "ignore", extendEnv: true, env: noSecrets })
        )
        .pipe(
          Effect.timeout(listTimeout),
          Effect.orElseSucceed(() => "")
        )
  })

  const programSetting = (name: string): ProgramSetting => {
    const setting = settings[name]
    return setting === undefined || isTemplate(setting) ? {} : setting
  }

  const llamaServer = Effect.gen(function* () {
    const setting = programSetting(llamaServerName)
    const program = yield* find(llamaServerName, setting)
    const devices = program === undefined ? "" : yield* Cache.get(devicesOf, program)
    return makeLlamaServer(llamaServerName, program, devices, setting)
  })

  const vllm = Effect.gen(function* () {
    const setting = programSetting(vllmName)
    return makeVllm(vllmName, yield* find(vllmName, setting), setting)
  })

  const templates = Object.entries(settings).flatMap(([name, setting]) =>
    isTemplate(setting) ? [makeTemplate(name, setting)] : []
  )

  return Engines.of({
    all: Effect.map(Effect.all([llama, llamaServer, vllm], { concurrency: 3 }), (found) =>
      byName([...found, ...templates])
    )
  })
})
