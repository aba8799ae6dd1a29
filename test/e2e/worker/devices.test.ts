import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Stream } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { workerProgram } from "../../support/programs.ts"
import { temporaryFolder } from "../../support/rbee.ts"

const backend = process.platform === "darwin" ? "metal" : "vulkan"

/** A folder with an engine whose package is this code. */
const engineOf = Effect.fnUntraced(function* (code: string) {
  const folder = yield* temporaryFolder
  for (const [name, text] of [
    ["node-llama-cpp", `export const LlamaLogLevel = { error: "error" }\n${code}`],
    ["@huggingface/jinja", ""]
  ] as const) {
    const at = join(folder, "node_modules", name)
    mkdirSync(at, { recursive: true })
    writeFileSync(join(at, "package.json"), JSON.stringify({ name, type: "module", exports: "./index.js" }))
    writeFileSync(join(at, "index.js"), text)
  }
  return folder
})

/** Runs the program; gives its exit code, what it wrote, and how long it took in milliseconds. */
const run = Effect.fnUntraced(function* (folder: string) {
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const before = yield* Clock.currentTimeMillis
  const child = yield* spawner.spawn(
    ChildProcess.make(process.execPath, [workerProgram, "--list-devices", "--engine-dir", folder], {
      forceKillAfter: "100 millis"
    })
  )
  const [stdout, stderr, code] = yield* Effect.all(
    [
      Stream.mkString(Stream.decodeText(child.stdout)),
      Stream.mkString(Stream.decodeText(child.stderr)),
      child.exitCode
    ],
    { concurrency: "unbounded" }
  )
  return { stdout, stderr, code: Number(code), took: (yield* Clock.currentTimeMillis) - before }
})

const engine = (names: ReadonlyArray<string>, gpu: string | false = backend) => `
  setInterval(() => {}, 1000)
  export const getLlama = async (options) => ({
    gpu: ${JSON.stringify(gpu)} && options.gpu,
    getGpuDeviceNames: async () => ${JSON.stringify(names)},
    getVramState: async () => ({ total: 16, used: 4, free: 12, unifiedSize: 0 })
  })`

describe("--list-devices", () => {
  it.live(
    "prints the engine's GPU with its memory, and exits although the engine's threads keep running",
    () =>
      Effect.gen(function* () {
        const { code, stdout } = yield* run(yield* engineOf(engine(["Radeon"])))
        assert.deepStrictEqual(JSON.parse(stdout), {
          devices: [{ name: "Radeon", backend, total_bytes: 16, free_bytes: 12 }]
        })
        assert.strictEqual(code, 0)
      }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("does not divide the memory of several GPUs", () =>
    Effect.gen(function* () {
      const { stdout } = yield* run(yield* engineOf(engine(["one", "two"])))
      assert.deepStrictEqual(JSON.parse(stdout), {
        devices: ["one", "two"].map((name) => ({ name, backend, total_bytes: 0, free_bytes: 0 }))
      })
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("prints no GPU and the reason if the engine has no backend, fails, is broken or hangs", () =>
    Effect.gen(function* () {
      const reasons = [
        [engine([], false), /it has no backend for/],
        [`export const getLlama = async () => { throw new Error("no driver") }`, /lists no GPU: no driver/],
        ["throw new Error('broken')", /could not be loaded: Error: broken/],
        [`${engine([])}\nexport const never = await new Promise(() => {})`, /did not answer within/]
      ] as const
      for (const [code, reason] of reasons) {
        const { code: exit, stderr, stdout, took } = yield* run(yield* engineOf(code))
        assert.strictEqual(stdout, '{"devices":[]}\n', String(reason))
        assert.match(stderr, reason)
        assert.strictEqual(exit, 0)
        assert.isBelow(took, 6000)
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
