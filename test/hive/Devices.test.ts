import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, FileSystem, Layer, References, Schedule, Schema } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { TestClock } from "effect/testing"
import { Capabilities, Device, Devices } from "../../src/hive/Devices.ts"
import { Machine, type MachineFacts } from "../../src/hive/Machine.ts"
import { parse } from "../../src/hive/NvidiaSmi.ts"

const gibi = 1024 ** 3
const mebi = 1024 ** 2
const machine = { cores: 2, totalBytes: 23.54 * gibi, freeBytes: 20 * gibi }
const cpu = {
  id: "CPU-0",
  name: "CPU (2 cores)",
  device_type: "cpu",
  vram_gb: 23.5,
  compute_capability: null
} as const

const recorded = (name: string) => new URL(`data/${name}`, import.meta.url).pathname
const read = (name: string) => FileSystem.FileSystem.use((fs) => fs.readFileString(recorded(name)))

/** The service over a folder that alone is the path of programs: it may hold an `nvidia-smi` of ours. */
const withTool = Effect.fnUntraced(function* (script?: string, measure: () => MachineFacts = () => machine) {
  const fs = yield* FileSystem.FileSystem
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const folder = yield* fs.makeTempDirectoryScoped()
  const install = (script: string) =>
    fs.writeFileString(`${folder}/nvidia-smi`, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  if (script !== undefined) yield* install(script)
  let runs = 0
  const found = ChildProcessSpawner.make((command) => {
    if (command._tag !== "StandardCommand") return Effect.die("nvidia-smi is one command")
    runs++
    const options = { ...command.options, env: { PATH: folder } }
    return spawner.spawn(ChildProcess.make(command.command, command.args, options))
  })
  const services = yield* Layer.build(
    Devices.layerNoDeps.pipe(
      Layer.provide(Layer.succeed(ChildProcessSpawner.ChildProcessSpawner, found)),
      Layer.provide(Layer.succeed(Machine, measure))
    )
  )
  const list = Devices.use((devices) => devices.list).pipe(
    Effect.provide(services),
    Effect.provideService(References.MinimumLogLevel, "None")
  )
  return { folder, install, list, runs: () => runs }
})

const ids = (devices: ReadonlyArray<Device>) => devices.map(({ id }) => id)

describe("NvidiaSmi", () => {
  it.effect("reads recorded output, and passes over what is no usable GPU", () =>
    Effect.gen(function* () {
      const one = parse(yield* read("nvidia-one.csv"))
      assert.deepStrictEqual(one, {
        gpus: [
          {
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
  it.live("lists GPUs before the CPU, and writes of them what the capabilities show", () =>
    Effect.gen(function* () {
      const { list } = yield* withTool(`exec /bin/cat ${recorded("nvidia-two.csv")}`)
      const devices = yield* list
      assert.deepStrictEqual(yield* Schema.encodeEffect(Capabilities)({ devices }), {
        devices: [
          { id: "GPU-0", name: "Tesla T4", device_type: "gpu", vram_gb: 15, compute_capability: "7.5" },
          {
            id: "GPU-1",
            name: "NVIDIA GeForce RTX 3090",
            device_type: "gpu",
            vram_gb: 24,
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

  it.live("has the CPU when the tool fails, says nonsense, is silent, or cannot be run", () =>
    Effect.gen(function* () {
      const scripts = [
        `/bin/cat ${recorded("nvidia-driver-error.txt")}; exit 9`,
        `/bin/cat ${recorded("nvidia-empty.txt")}; exit 6`,
        `/bin/cat ${recorded("nvidia-one.csv")} >&2; kill -9 $$`,
        "exec /bin/head -c 3000000 /dev/zero",
        undefined
      ]
      for (const script of scripts) {
        const { list } = yield* withTool(script)
        assert.deepStrictEqual(ids(yield* list), ["CPU-0"], script ?? "absent")
      }
      const { folder, list } = yield* withTool()
      yield* FileSystem.FileSystem.use((fs) =>
        fs.writeFileString(`${folder}/nvidia-smi`, "", { mode: 0o644 })
      )
      assert.deepStrictEqual(ids(yield* list), ["CPU-0"])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("does not wait for a tool that hangs, and leaves no process of it behind", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { folder, list } = yield* withTool(
        'trap "" TERM; echo $$ > "$0.pid"; while :; do /bin/sleep 60; done'
      )
      const before = yield* Clock.currentTimeMillis
      assert.deepStrictEqual(ids(yield* list), ["CPU-0"])
      const took = (yield* Clock.currentTimeMillis) - before
      assert.isAtLeast(took, 1900)
      assert.isBelow(took, 5000)
      const pid = (yield* fs.readFileString(`${folder}/nvidia-smi.pid`)).trim()
      const running = fs.exists(`/proc/${pid}/cmdline`)
      yield* running.pipe(
        Effect.repeat({ schedule: Schedule.spaced("50 millis"), while: (running) => running }),
        Effect.timeout("10 seconds")
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("measures free memory each time, and remembers for 10 seconds only that there is no GPU", () =>
    Effect.gen(function* () {
      let freeBytes = 20 * gibi
      const { list, install, runs } = yield* withTool(undefined, () => ({ ...machine, freeBytes }))
      assert.deepStrictEqual(ids(yield* list), ["CPU-0"])
      freeBytes = 3 * gibi
      yield* install(`echo "0, Card, 1024, 1000, 8.0"`)
      assert.deepStrictEqual(
        (yield* list).map(({ free_bytes }) => free_bytes),
        [3 * gibi]
      )
      assert.strictEqual(runs(), 1)
      yield* TestClock.adjust("11 seconds")
      assert.deepStrictEqual(
        (yield* list).map(({ free_bytes }) => free_bytes),
        [1000 * mebi, 3 * gibi]
      )
      yield* install(`echo "0, Card, 1024, 10, 8.0"`)
      assert.deepStrictEqual(
        (yield* list).map(({ free_bytes }) => free_bytes),
        [10 * mebi, 3 * gibi]
      )
      assert.strictEqual(runs(), 3)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("measures this machine by itself", () =>
    Effect.gen(function* () {
      const devices = yield* Devices.use(({ list }) => list)
      const last = devices.at(-1)
      assert.strictEqual(last?.id, "CPU-0")
      assert.match(last?.name ?? "", /^CPU \(\d+ cores?\)$/)
      assert.isAbove(last?.free_bytes ?? 0, 0)
      assert.isAtMost(last?.free_bytes ?? 0, last?.total_bytes ?? 0)
    }).pipe(Effect.provide(Devices.layerNoDeps.pipe(Layer.provide(NodeServices.layer))))
  )
})
