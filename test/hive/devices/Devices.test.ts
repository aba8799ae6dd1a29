import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, FileSystem, Layer, References, Schema } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { TestClock } from "effect/testing"
import { Device, Devices } from "../../../src/hive/devices/Devices.ts"
import { HostResources, type HostInfo } from "../../../src/hive/devices/HostResources.ts"
import { nvidiaSmi } from "../../../src/hive/devices/NvidiaSmi.ts"
import { Capabilities } from "../../../src/hives/Capability.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { until } from "../../support/until.ts"

const { parse } = nvidiaSmi
const gibi = 1024 ** 3
const mebi = 1024 ** 2
const machine = { cores: 2, totalBytes: 23.54 * gibi, freeBytes: 20 * gibi }
const cpu = {
  id: "CPU-0",
  name: "CPU (2 cores)",
  device_type: "cpu",
  vram_gb: 23,
  vram_bytes: machine.totalBytes,
  compute_capability: null
} as const

const recorded = (name: string) => new URL(`data/${name}`, import.meta.url).pathname
const read = (name: string) => FileSystem.FileSystem.use((fs) => fs.readFileString(recorded(name)))

/** What is installed: scripts of the shell for the tools, and a worker that prints what the engine lists. */
interface Installed {
  readonly nvidia?: string
  readonly rocm?: string
  readonly worker?: string
  /** The packages in the engine's folder; none: the engine is not installed. */
  readonly packages?: ReadonlyArray<string>
}

/** The service over a folder that alone is the path of programs and holds the engine. */
const withTools = Effect.fnUntraced(function* (
  installed: Installed = {},
  measure: () => HostInfo = () => machine
) {
  const fs = yield* FileSystem.FileSystem
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const folder = yield* fs.makeTempDirectoryScoped()
  const install = (name: "nvidia-smi" | "rocm-smi", script: string) =>
    fs.writeFileString(`${folder}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  if (installed.nvidia !== undefined) yield* install("nvidia-smi", installed.nvidia)
  if (installed.rocm !== undefined) yield* install("rocm-smi", installed.rocm)
  const worker = `${folder}/worker.mjs`
  yield* fs.writeFileString(worker, installed.worker ?? "")
  for (const name of installed.packages ?? []) {
    const packages = `${folder}/data/engines/llama/node_modules/@node-llama-cpp`
    yield* fs.makeDirectory(`${packages}/${name}`, { recursive: true })
  }
  const ran: Array<string> = []
  const found = ChildProcessSpawner.make((command) => {
    if (command._tag !== "StandardCommand") return Effect.die("a tool is one command")
    ran.push(command.command)
    const options = { ...command.options, env: { PATH: folder } }
    return spawner.spawn(ChildProcess.make(command.command, command.args, options))
  })
  const services = yield* Layer.build(
    Devices.layerWith(worker).pipe(
      Layer.provide(Layer.succeed(ChildProcessSpawner.ChildProcessSpawner, found)),
      Layer.provide(Layer.succeed(HostResources, measure)),
      Layer.provide(Paths.layerAt(folder))
    )
  )
  const list = Devices.use((devices) => devices.list).pipe(
    Effect.provide(services),
    Effect.provideService(References.MinimumLogLevel, "None")
  )
  const runs = (name: string) => ran.filter((command) => command === name).length
  return { folder, install, list, runs }
})

const prints = (name: string) => `exec /bin/cat ${recorded(name)}`

/** A worker that prints this listing, if it is asked for one. */
const lists = (devices: ReadonlyArray<unknown>) =>
  `if (process.argv[2] === "--list-devices") console.log(\`native noise\\n${JSON.stringify({ devices })}\`)`

const ids = (devices: ReadonlyArray<Device>) => devices.map(({ id }) => id)

describe("NvidiaSmi", () => {
  it.effect("reads recorded output, and skips unusable GPUs", () =>
    Effect.gen(function* () {
      const one = parse(yield* read("nvidia-one.csv"))
      assert.deepStrictEqual(one, {
        gpus: [
          {
            backend: "cuda",
            index: 0,
            name: "NVIDIA H100 80GB HBM3",
            totalBytes: 81_559 * mebi,
            freeBytes: 80_995 * mebi,
            computeCapability: "9.0"
          }
        ],
        notes: []
      })
      const two = parse(yield* read("nvidia-two.csv"))
      assert.deepStrictEqual(
        two.gpus.map(({ index, name, freeBytes }) => [index, name, freeBytes / mebi]),
        [
          [0, "Tesla T4", 14_918],
          [1, "NVIDIA GeForce RTX 3090", 1021]
        ]
      )
      const mig = parse(yield* read("nvidia-mig.csv"))
      assert.deepStrictEqual(
        mig.gpus.map(({ index, computeCapability }) => [index, computeCapability]),
        [[3, null]]
      )
      assert.strictEqual(mig.notes.length, 4)
      const garbage = parse(yield* read("nvidia-garbage.txt"))
      assert.deepStrictEqual(
        garbage.gpus.map(({ index, name }) => [index, name]),
        [[7, "Card, with, commas"]]
      )
      assert.strictEqual(garbage.notes.length, 6)
      assert.deepStrictEqual(parse(yield* read("nvidia-empty.txt")), { gpus: [], notes: [] })
      const failed = parse(yield* read("nvidia-driver-error.txt"))
      assert.deepStrictEqual(failed.gpus, [])
      assert.match(failed.notes.join(), /^row 'NVIDIA-SMI has failed/)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.prop(
    "never throws, and gives each index once",
    [
      Schema.String,
      Schema.Array(Schema.Literals(["0", "1", ", ", "\n", "[N/A]", "Card", "\r", "8.6", "512"]))
    ],
    ([text, pieces]) => {
      for (const output of [text, pieces.join("")]) {
        const indexes = parse(output).gpus.map(({ index }) => index)
        assert.strictEqual(new Set(indexes).size, indexes.length)
      }
    },
    { arbitrary: { runs: 500 } }
  )
})

describe("Devices", () => {
  it.live("lists GPUs before the CPU, in the format of the capabilities", () =>
    Effect.gen(function* () {
      const { list } = yield* withTools({ nvidia: prints("nvidia-two.csv") })
      const devices = yield* list
      assert.deepStrictEqual(yield* Schema.encodeEffect(Capabilities)({ devices }), {
        devices: [
          {
            id: "GPU-0",
            name: "Tesla T4",
            device_type: "gpu",
            vram_gb: 15,
            vram_bytes: 15_360 * mebi,
            compute_capability: "7.5"
          },
          {
            id: "GPU-1",
            name: "NVIDIA GeForce RTX 3090",
            device_type: "gpu",
            vram_gb: 24,
            vram_bytes: 24_576 * mebi,
            compute_capability: "8.6"
          },
          cpu
        ]
      })
      const [gpu, , processor] = devices
      assert.deepStrictEqual(
        [gpu?.backend, gpu?.index, gpu?.total_bytes, gpu?.free_bytes, gpu?.description],
        ["cuda", 0, 15_360 * mebi, 14_918 * mebi, "gpu-0 (Tesla T4, 15 GiB)"]
      )
      assert.deepStrictEqual(
        [processor?.backend, processor?.free_bytes, processor?.description],
        ["cpu", 20 * gibi, "cpu-0 (CPU (2 cores), 23.5 GiB)"]
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("lists the CPU when the tool fails, prints garbage, prints nothing, or cannot be run", () =>
    Effect.gen(function* () {
      const scripts = [
        `/bin/cat ${recorded("nvidia-driver-error.txt")}; exit 9`,
        `/bin/cat ${recorded("nvidia-empty.txt")}; exit 6`,
        `/bin/cat ${recorded("nvidia-one.csv")} >&2; kill -9 $$`,
        "exec /bin/head -c 10000000 /dev/zero",
        "echo \"1, $(/bin/head -c 900000 /dev/zero | /usr/bin/tr '\\0' ' ')\"",
        `echo '{'; exec /bin/head -c 10000000 /dev/zero`
      ]
      for (const script of scripts) {
        const { list } = yield* withTools({ nvidia: script, rocm: script })
        assert.deepStrictEqual(ids(yield* list), ["CPU-0"], script)
      }
      const { folder, list } = yield* withTools()
      const fs = yield* FileSystem.FileSystem
      for (const name of ["nvidia-smi", "rocm-smi"]) {
        yield* fs.writeFileString(`${folder}/${name}`, "", { mode: 0o644 })
      }
      assert.deepStrictEqual(ids(yield* list), ["CPU-0"])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("does not wait for tools that hang, and leaves none of their processes", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const hangs = 'trap "" TERM; echo $$ > "$0.pid"; while :; do /bin/sleep 60; done'
      const { folder, list } = yield* withTools({
        nvidia: hangs,
        rocm: hangs,
        packages: ["linux-x64-vulkan"],
        worker: `import { writeFileSync } from "node:fs"
          process.on("SIGTERM", () => {})
          writeFileSync(process.argv[1] + ".pid", String(process.pid))
          setInterval(() => {}, 1000)`
      })
      const before = yield* Clock.currentTimeMillis
      assert.deepStrictEqual(ids(yield* list), ["CPU-0"])
      const took = (yield* Clock.currentTimeMillis) - before
      assert.isAtLeast(took, 3900)
      assert.isBelow(took, 7000)
      for (const name of ["nvidia-smi", "rocm-smi", "worker.mjs"]) {
        const pid = (yield* fs.readFileString(`${folder}/${name}.pid`)).trim()
        yield* until(fs.exists(`/proc/${pid}/cmdline`), (isRunning) => !isRunning, "10 seconds")
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("numbers all GPUs, and gives each the index of its backend", () =>
    Effect.gen(function* () {
      const { list } = yield* withTools({
        nvidia: prints("nvidia-mig.csv"),
        rocm: prints("rocm-7-low-power.txt"),
        packages: ["linux-x64-vulkan"],
        worker: lists([{ name: "the same again", backend: "vulkan", total_bytes: 2, free_bytes: 1 }])
      })
      assert.deepStrictEqual(
        (yield* list).map(({ backend, compute_capability, id, index }) => [
          id,
          backend,
          index,
          compute_capability
        ]),
        [
          ["GPU-3", "cuda", 3, null],
          ["GPU-4", "rocm", 0, null],
          ["GPU-5", "rocm", 1, "gfx1201"],
          ["CPU-0", "cpu", 0, null]
        ]
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("asks the engine for GPUs that no tool reports, where it has a backend for them", () =>
    Effect.gen(function* () {
      const gpu = { name: "Apple M3", backend: "metal", total_bytes: 12 * gibi, free_bytes: 11 * gibi }
      const { list } = yield* withTools({ packages: ["mac-arm64-metal"], worker: lists([gpu]) })
      const [device] = yield* list
      assert.deepStrictEqual(
        [device?.id, device?.backend, device?.index, device?.free_bytes, device?.description],
        ["GPU-0", "metal", 0, 11 * gibi, "gpu-0 (Apple M3, 12 GiB)"]
      )
      const plain = yield* withTools({ packages: ["linux-x64", "linux-x64-cuda"], worker: lists([gpu]) })
      assert.deepStrictEqual(ids(yield* plain.list), ["CPU-0"])
      assert.strictEqual(plain.runs(process.execPath), 0)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("skips incomplete entries of the engine", () =>
    Effect.gen(function* () {
      const good = { name: "Intel Arc", backend: "vulkan", total_bytes: 16, free_bytes: 8 }
      const listings = [
        lists([{ ...good, total_bytes: 0, free_bytes: 0 }]),
        lists([{ ...good, free_bytes: 17 }]),
        lists([{ ...good, total_bytes: "16" }]),
        lists([{ ...good, backend: "cpu" }, "gone", null]),
        "console.log('{')",
        "console.error('no backend'); process.exit(1)",
        "process.stdout.write('x'.repeat(10_000_000))"
      ]
      for (const worker of listings) {
        const { list } = yield* withTools({ packages: ["win-x64-vulkan"], worker })
        assert.deepStrictEqual(ids(yield* list), ["CPU-0"], worker)
      }
      const mixed = yield* withTools({ packages: ["win-x64-vulkan"], worker: lists(["gone", good]) })
      assert.deepStrictEqual(ids(yield* mixed.list), ["GPU-1", "CPU-0"])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("measures free memory each time, and caches only an empty list, for 10 seconds", () =>
    Effect.gen(function* () {
      let freeBytes = 20 * gibi
      const { list, install, runs } = yield* withTools({}, () => ({ ...machine, freeBytes }))
      assert.deepStrictEqual(ids(yield* list), ["CPU-0"])
      freeBytes = 3 * gibi
      yield* install("nvidia-smi", `echo "0, Card, 1024, 1000, 8.0"`)
      assert.deepStrictEqual(
        (yield* list).map(({ free_bytes }) => free_bytes),
        [3 * gibi]
      )
      assert.strictEqual(runs("nvidia-smi"), 1)
      yield* TestClock.adjust("11 seconds")
      assert.deepStrictEqual(
        (yield* list).map(({ free_bytes }) => free_bytes),
        [1000 * mebi, 3 * gibi]
      )
      yield* install("nvidia-smi", `echo "0, Card, 1024, 10, 8.0"`)
      assert.deepStrictEqual(
        (yield* list).map(({ free_bytes }) => free_bytes),
        [10 * mebi, 3 * gibi]
      )
      assert.strictEqual(runs("nvidia-smi"), 3)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("measures this machine", () =>
    Effect.gen(function* () {
      const devices = yield* Devices.use(({ list }) => list)
      const last = devices.at(-1)
      assert.strictEqual(last?.id, "CPU-0")
      assert.match(last?.name ?? "", /^CPU \(\d+ cores?\)$/)
      assert.isAbove(last?.free_bytes ?? 0, 0)
      assert.isAtMost(last?.free_bytes ?? 0, last?.total_bytes ?? 0)
    }).pipe(
      Effect.provide(
        Devices.layerNoDeps.pipe(Layer.provide([NodeServices.layer, Paths.layerAt("/nonexistent")]))
      )
    )
  )
})
