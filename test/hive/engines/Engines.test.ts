import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import { Engines } from "../../../src/hive/engines/Engines.ts"
import type { WorkerSpec } from "../../../src/hive/engines/WorkerSpec.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { temporaryHome } from "../../support/hive.ts"

const spec: WorkerSpec = {
  id: "w",
  model: "rbee:tiny",
  modelPath: "/models/a file; with odd $names.gguf",
  worker: "auto",
  engine: "llama",
  backend: "cuda",
  device: 1,
  contextSize: 2048,
  parallel: 4,
  threads: 3,
  memoryBytes: 1
}

describe("Engines", () => {
  it.live("reports the installed backends, and starts a worker with one argument for each value", () =>
    Effect.gen(function* () {
      const home = yield* temporaryHome
      const fs = yield* FileSystem.FileSystem
      const folder = path.join(home, "data", "engines", "llama")
      yield* Effect.gen(function* () {
        const engines = yield* Engines
        assert.deepStrictEqual((yield* engines.all).get("llama")?.backends, ["cpu"])
        const packages = path.join(folder, "node_modules", "@node-llama-cpp")
        const add = Effect.fnUntraced(function* (entry: string, name: string) {
          yield* fs.makeDirectory(path.join(packages, entry), { recursive: true })
          yield* fs.writeFileString(path.join(packages, entry, "package.json"), JSON.stringify({ name }))
        })
        // What stands in for a package that was not wanted is no backend.
        yield* add("linux-x64-vulkan", "empty-npm-package")
        yield* add("linux-x64-cuda", "@node-llama-cpp/linux-x64-cuda")
        const llama = (yield* engines.all).get("llama")
        assert.deepStrictEqual(llama?.backends, ["cuda", "cpu"])
        const command = llama?.command(spec, 4321)
        assert.strictEqual(command?.command, process.execPath)
        const args = command?.args ?? []
        const valueOf = (flag: string) => args[args.indexOf(flag) + 1]
        assert.strictEqual(args[0], "/worker.js")
        assert.strictEqual(valueOf("--model"), spec.modelPath)
        assert.strictEqual(valueOf("--model-id"), "rbee:tiny")
        assert.strictEqual(valueOf("--port"), "4321")
        assert.strictEqual(valueOf("--device"), "gpu-1")
        assert.strictEqual(valueOf("--engine-dir"), folder)
        // With more threads the answers of one batch get tokens of one another.
        const threads = { UV_THREADPOOL_SIZE: "1" }
        const gpu = { CUDA_DEVICE_ORDER: "PCI_BUS_ID", CUDA_VISIBLE_DEVICES: "1" }
        assert.deepStrictEqual(command?.env, { ...gpu, ...threads })
        assert.deepStrictEqual(llama?.command({ ...spec, backend: "cpu", device: 0 }, 1).env, threads)
      }).pipe(
        Effect.provide(
          Engines.layerWith("/worker.js").pipe(Layer.provide([Paths.layerAt(home), Settings.layerDefaults()]))
        )
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
