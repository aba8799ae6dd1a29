import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Schema } from "effect"
import { Token } from "../../../src/access/Token.ts"
import { DaemonClient } from "../../../src/daemon/DaemonClient.ts"
import { Devices } from "../../../src/hive/devices/Devices.ts"
import type { Engine } from "../../../src/hive/engines/Engine.ts"
import { Engines } from "../../../src/hive/engines/Engines.ts"
import { loadedIn as loadedInLlama } from "../../../src/hive/engines/Llama.ts"
import { backendsIn, loadedIn as loadedInLlamaServer } from "../../../src/hive/engines/LlamaServer.ts"
import { loadedIn } from "../../../src/hive/engines/Vllm.ts"
import { Hive } from "../../../src/hive/Hive.ts"
import { workerPool } from "../../../src/http/workerPool.ts"
import { JobsClient } from "../../../src/job/client/JobsClient.ts"
import { EngineTable } from "../../../src/settings/EngineSettings.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { type SettingChanges, Settings } from "../../../src/settings/Settings.ts"
import { DetachedProcess } from "../../../src/system/DetachedProcess.ts"
import { PidFile } from "../../../src/system/PidFile.ts"
import { Pids } from "../../../src/system/Pids.ts"
import { Client, failureOf, inferTiny, resultOf, spawnTiny, workerOf } from "../../support/hive.ts"
import { cpu, gpu } from "../../support/hiveFakes.ts"
import { workerProgram } from "../../support/programs.ts"
import { temporaryFolder } from "../../support/rbee.ts"

const support = (name: string) => new URL(`../../support/${name}`, import.meta.url).pathname
const data = (name: string) => new URL(`../../hive/engines/data/${name}`, import.meta.url).pathname

/** A program of this name that answers as the real one would. */
const fakeProgram = (folder: string, name: string, options: string) => {
  const file = join(folder, name)
  writeFileSync(
    file,
    `#!/bin/sh\nexec '${process.execPath}' '${support("fakeEngine.ts")}' '${options}' "$@"\n`
  )
  chmodSync(file, 0o755)
  return file
}

/** A hive with a GPU that is not there, and with engines from the settings. */
const withEngines = <A, E>(
  test: Effect.Effect<A, E, Client>,
  settings: (home: string) => SettingChanges,
  more: ReadonlyArray<Engine> = []
) =>
  Effect.gen(function* () {
    const home = yield* temporaryFolder
    const engines = Engines.layerAdding(more).pipe(Layer.provide(Engines.layerWith(workerProgram)))
    const layer = Client.layer.pipe(
      Layer.provideMerge(Hive.layerNoDeps),
      Layer.provide(
        Layer.mergeAll(PidFile.layer, DetachedProcess.layer, Devices.layerMemory([gpu, cpu]), engines)
      ),
      Layer.provideMerge(Layer.mergeAll(Pids.layer, DaemonClient.layerNoDeps, JobsClient.layerNoDeps)),
      Layer.provideMerge(workerPool),
      Layer.provideMerge(
        Layer.mergeAll(
          Settings.layerDefaults({
            ...settings(home),
            hive: { id: "test", port: 0, queenUrl: "http://127.0.0.1:9" }
          }),
          Token.layerMemory(),
          Paths.layerAt(home)
        )
      ),
      Layer.provideMerge(NodeServices.layer)
    )
    return yield* Effect.provide(test, layer)
  }).pipe(Effect.scoped)

const answerOf = Effect.fnUntraced(function* (worker: string) {
  const client = yield* Client
  const spawned = workerOf(yield* client.events({ ...spawnTiny, worker }))
  const answered = JSON.parse(resultOf(yield* client.events({ ...inferTiny, worker_id: spawned.id })))
  return { spawned, answer: JSON.parse(answered.text) }
})

const pairsOf = (args: ReadonlyArray<string>) => new Map(args.map((word, i) => [word, args[i + 1]]))

describe("the built-in engine", () => {
  it("tells how far it is from its log", () => {
    assert.strictEqual(loadedInLlama("Loaded 40% of the model"), 40)
    assert.isUndefined(loadedInLlama("Serving rbee:tiny on http://127.0.0.1:1, context 512"))
  })
})

describe("llama-server", () => {
  it("tells how far it is from its log", () => {
    assert.strictEqual(loadedInLlamaServer("......."), 7)
    assert.isUndefined(loadedInLlamaServer("load_tensors: loading model tensors, this can take a while..."))
  })

  it("is built for what it lists", () => {
    assert.deepStrictEqual(backendsIn(""), ["cpu"])
    assert.deepStrictEqual(backendsIn("Available devices:\n  CUDA0: A (1 MiB, 1 MiB free)\n  CUDA1: B\n"), [
      "cuda",
      "cpu"
    ])
    assert.deepStrictEqual(backendsIn("  Vulkan0: A\n  ROCm0: A\n"), ["rocm", "vulkan", "cpu"])
  })

  it.live("starts with a command line that the real program accepts, and serves", () =>
    withEngines(
      Effect.gen(function* () {
        const { answer, spawned } = yield* answerOf("llama-server")
        assert.deepInclude(spawned, { state: "ready", worker: "llama-server", device: 0 })
        const flags = pairsOf(answer.args)
        assert.strictEqual(flags.get("--alias"), "rbee:tiny")
        assert.strictEqual(flags.get("--ctx-size"), String(512 * 2))
        assert.strictEqual(flags.get("--parallel"), "2")
        assert.strictEqual(flags.get("--device"), "CUDA0")
        assert.strictEqual(flags.get("--gpu-layers"), "999")
        assert.strictEqual(flags.get("--flash-attn"), "on")
        assert.strictEqual(answer.cuda, "0")
      }),
      (home) => ({
        engine: { parallel: 2 },
        engines: {
          "llama-server": {
            program: fakeProgram(home, "llama-server", data("llama-server-options.txt")),
            args: ["--flash-attn", "on"]
          }
        }
      })
    )
  )

  it.live("reports the program's message about an unknown flag", () =>
    withEngines(
      Effect.gen(function* () {
        const client = yield* Client
        const { code, message } = failureOf(yield* client.events({ ...spawnTiny, worker: "llama-server" }))
        assert.strictEqual(code, "WorkerFailed")
        assert.include(message, "error: unknown argument: --no-such-flag")
      }),
      (home) => ({
        engines: {
          "llama-server": {
            program: fakeProgram(home, "llama-server", data("llama-server-options.txt")),
            args: ["--no-such-flag"]
          }
        }
      })
    )
  )
})

describe("vllm", () => {
  it("tells how far it is from its log", () => {
    assert.strictEqual(
      loadedIn("Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03]"),
      25
    )
    assert.isUndefined(loadedIn("INFO 01-01 Starting to load model"))
  })

  it.live("starts with a command line that the real program accepts, and serves", () =>
    withEngines(
      Effect.gen(function* () {
        const { answer } = yield* answerOf("vllm")
        assert.strictEqual(answer.args[0], "serve")
        const flags = pairsOf(answer.args)
        assert.strictEqual(flags.get("--served-model-name"), "rbee:tiny")
        assert.strictEqual(flags.get("--max-model-len"), "512")
        assert.strictEqual(flags.get("--max-num-seqs"), "4")
        assert.strictEqual(answer.cuda, "0")
      }),
      (home) => ({
        engines: { vllm: { program: fakeProgram(home, "vllm", data("vllm-serve-options.txt")) } }
      })
    )
  )

  it.live("explains how to install it if it is missing", () =>
    withEngines(
      Effect.gen(function* () {
        const client = yield* Client
        const { code, message } = failureOf(yield* client.events({ ...spawnTiny, worker: "vllm" }))
        assert.strictEqual(code, "EngineNotInstalled")
        assert.include(message, "install vLLM so that vllm is on the PATH")
      }),
      () => ({ engines: { vllm: { program: "/nowhere/vllm" } } })
    )
  )
})

const server = `
import { createServer } from "node:http"
const [model, id, port, device, context] = process.argv.slice(2)
createServer((request, response) => {
  if (request.url === "/well") return response.end("yes")
  if (request.url === "/v1/models") return response.end(JSON.stringify({ data: [{ id }] }))
  const text = JSON.stringify({ model, device, context, extra: process.env.EXTRA })
  response.end(\`data: \${JSON.stringify({ choices: [{ text, finish_reason: "stop" }] })}\\n\\ndata: [DONE]\\n\\n\`)
}).listen(Number(port), "127.0.0.1")
`

describe("an engine from the settings", () => {
  it.live("is a command with placeholders, run without a shell", () =>
    withEngines(
      Effect.gen(function* () {
        const { answer, spawned } = yield* answerOf("mine")
        assert.strictEqual(spawned.device, 0)
        assert.match(answer.model, /rbee-tiny-novelist-q8_0\.gguf; echo \$\(x\)$/)
        assert.deepInclude(answer, { device: "cpu", context: "512", extra: "1 2" })
      }),
      (home) => {
        writeFileSync(join(home, "server.mjs"), server)
        return {
          engines: {
            mine: {
              command: [
                process.execPath,
                join(home, "server.mjs"),
                "{model}; echo $(x)",
                "{model_id}",
                "{port}",
                "{device}",
                "{context}"
              ],
              ready: "/well",
              env: { EXTRA: "1 2" }
            }
          }
        }
      }
    )
  )

  it("is refused with a placeholder that means nothing, and with an empty command", () => {
    const decode = Schema.decodeUnknownOption(EngineTable, { onExcessProperty: "error" })
    const read = (setting: object) => Option.isSome(decode({ mine: setting }))
    assert.isTrue(read({ command: ["x", "{port}", "{model}"] }))
    assert.isTrue(read({ program: "/x", args: ["--a"] }))
    assert.isFalse(read({ command: ["x", "{prot}"] }))
    assert.isFalse(read({ command: [] }))
    assert.isFalse(read({ command: "x {port}" }))
    assert.isFalse(read({ program: "/x", colour: "blue" }))
    assert.isFalse(read({ command: ["x"], backends: ["steam"] }))
  })

  it.live("may come from a layer of an application", () =>
    withEngines(
      Effect.gen(function* () {
        const client = yield* Client
        const { code, message } = failureOf(yield* client.events({ ...spawnTiny, worker: "picky" }))
        assert.strictEqual(code, "EngineRefusesModel")
        assert.include(message, "The engine 'picky' cannot serve rbee:tiny: it is too small")
      }),
      () => ({}),
      [
        {
          name: "picky",
          backends: ["cpu"],
          cancellation: { _tag: "Disconnect" },
          install: "it is here",
          readyPath: "/health",
          refuses: () => "it is too small",
          command: () => ({ command: "true", args: [] })
        }
      ]
    )
  )
})
