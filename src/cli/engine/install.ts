import * as path from "node:path"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Stream from "effect/Stream"
import { Paths } from "../../settings/Paths.ts"
import { noSecrets } from "../../system/childEnvironment.ts"
import { makeFolder } from "../../system/makeFolder.ts"
import { DaemonProblem } from "../errors.ts"
import { Output } from "../Output.ts"

const engineVersion = "3.21.1"
const variants = ["cpu", "cuda", "vulkan"] as const
type Variant = (typeof variants)[number]

const emptyPackage = "npm:empty-npm-package@1.0.0"

// Large packages of node-llama-cpp that only one kind of GPU needs.
const packagesOf: Readonly<Record<Variant, ReadonlyArray<string>>> = {
  cpu: [],
  cuda: ["linux-x64-cuda", "linux-x64-cuda-ext", "win-x64-cuda", "win-x64-cuda-ext"],
  vulkan: ["linux-x64-vulkan", "win-x64-vulkan"]
}

/** The package.json of a folder with node-llama-cpp and the packages of one variant only. */
export const engineManifest = (variant: Variant) => ({
  private: true,
  dependencies: { "node-llama-cpp": engineVersion },
  overrides: Object.fromEntries(
    variants
      .filter((other) => other !== variant)
      .flatMap((other) => packagesOf[other])
      .map((name) => [`@node-llama-cpp/${name}`, emptyPackage])
  ),
  config: { nodeLlamaCppPostinstall: "skip" }
})

const hasTool = (tool: string, ...args: ReadonlyArray<string>) =>
  ChildProcessSpawner.ChildProcessSpawner.use((spawner) =>
    spawner.string(ChildProcess.make(tool, args))
  ).pipe(
    Effect.timeout("5 seconds"),
    Effect.map((text) => text.trim() !== ""),
    Effect.orElseSucceed(() => false)
  )

const detect = Effect.gen(function* () {
  if (yield* hasTool("nvidia-smi", "-L")) return "cuda"
  if (yield* hasTool("vulkaninfo", "--summary")) return "vulkan"
  return "cpu"
})

const runNpm = Effect.fnUntraced(function* (folder: string) {
  const output = yield* Output
  const command = ChildProcess.make(
    "npm",
    ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"],
    {
      cwd: folder,
      stdin: "ignore",
      extendEnv: true,
      env: noSecrets
    }
  )
  const child = yield* command
  yield* Stream.merge(child.stdout, child.stderr).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) => output.progress(`npm: ${line}`))
  )
  return yield* child.exitCode
}, Effect.scoped)

const engine = Argument.Literals("engine", ["llama"]).pipe(
  Argument.withDescription("llama: llama.cpp inside Node")
)
const variant = Flag.Literals("variant", variants).pipe(
  Flag.withDescription("Engine variant (default: detected)"),
  Flag.optional
)

export const engineInstall = Command.make(
  "install",
  { engine, variant },
  Effect.fnUntraced(function* (args) {
    const fs = yield* FileSystem.FileSystem
    const output = yield* Output
    const { data } = yield* Paths
    const chosen = Option.isSome(args.variant) ? args.variant.value : yield* detect
    const folder = path.join(data, "engines", args.engine)
    yield* output.note(`Installing node-llama-cpp ${engineVersion} (${chosen}) into ${folder}`)
    yield* makeFolder(folder)
    yield* fs.writeFileString(
      path.join(folder, "package.json"),
      JSON.stringify(engineManifest(chosen), null, 2)
    )
    const code = yield* runNpm(folder)
    if (code !== 0) {
      return yield* new DaemonProblem({
        message: `npm exited with code ${code}; see its output above and check the network`
      })
    }
    yield* output.answer({ engine: args.engine, version: engineVersion, variant: chosen, folder })
  })
).pipe(
  Command.withDescription("Install an engine, with the variant for this machine's GPU"),
  Command.withExamples([
    { command: "rbee engine install llama" },
    { command: "rbee engine install llama --variant cuda" }
  ])
)
