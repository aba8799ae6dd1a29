import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import { CapabilitiesCache } from "../../src/hives/CapabilitiesCache.ts"
import { Capability } from "../../src/hives/Capability.ts"
import { Paths } from "../../src/settings/Paths.ts"
import { Pids } from "../../src/system/Pids.ts"
import { temporaryFolder } from "../support/rbee.ts"

const gpu = new Capability({
  id: "GPU-0",
  name: 'Fast "One": 24 GB # new',
  device_type: "gpu",
  vram_gb: 23,
  vram_bytes: 25_000_000_000,
  compute_capability: "9.0"
})
const cpu = new Capability({
  id: "CPU-0",
  name: "CPU",
  device_type: "cpu",
  vram_gb: 1,
  compute_capability: null
})

const withCache = <A, E>(test: (home: string) => Effect.Effect<A, E, CapabilitiesCache>) =>
  Effect.gen(function* () {
    const home = yield* temporaryFolder
    mkdirSync(join(home, "config"))
    const layer = CapabilitiesCache.layer.pipe(
      Layer.provide(Pids.layer),
      Layer.provide([Paths.layerAt(home), NodeServices.layer])
    )
    return yield* Effect.provide(test(home), layer)
  }).pipe(Effect.scoped)

describe("CapabilitiesCache", () => {
  it.live("keeps devices as a person can read them, and drops a hive", () =>
    withCache((home) =>
      Effect.gen(function* () {
        const { all, drop, put } = yield* CapabilitiesCache
        yield* put("atlas", [gpu, cpu])
        yield* put("boreas", [])
        const hives = yield* all
        assert.deepStrictEqual(Object.keys(hives), ["atlas", "boreas"])
        assert.deepStrictEqual(hives["atlas"]?.devices, [gpu, cpu])
        assert.match(hives["atlas"]?.refreshed_at ?? "", /^\d{4}-/)
        assert.include(
          readFileSync(join(home, "config", "capabilities.json"), "utf8"),
          '          "id": "GPU-0",\n'
        )
        yield* drop("atlas")
        yield* drop("nobody")
        assert.deepStrictEqual(Object.keys(yield* all), ["boreas"])
        yield* drop("boreas")
        assert.deepStrictEqual(yield* all, {})
      })
    )
  )

  it.live("counts as empty when it is missing or broken, and is whole again with the next write", () =>
    withCache((home) =>
      Effect.gen(function* () {
        const { all, put } = yield* CapabilitiesCache
        assert.deepStrictEqual(yield* all, {})
        for (const broken of ['{"hives":{', "just text", '{"hives":{"atlas":5}}', "[]", "\u0000\ufffd"]) {
          writeFileSync(join(home, "config", "capabilities.json"), broken)
          assert.deepStrictEqual(yield* all, {}, broken)
        }
        yield* put("atlas", [cpu])
        assert.deepStrictEqual(Object.keys(yield* all), ["atlas"])
      })
    )
  )

  it.live("says once that it is broken, and again when it breaks anew", () =>
    withCache((home) =>
      Effect.gen(function* () {
        const { all, put } = yield* CapabilitiesCache
        const notes: Array<unknown> = []
        const logger = Logger.make(({ message }) => notes.push(message))
        const readTwice = Effect.andThen(all, all).pipe(Effect.provide(Logger.layer([logger])))
        yield* readTwice
        assert.strictEqual(notes.length, 0)
        const file = join(home, "config", "capabilities.json")
        writeFileSync(file, '{"hives":{')
        yield* readTwice
        assert.deepStrictEqual(notes, [["capabilities.json is damaged and counts as empty", { file }]])
        yield* put("atlas", [cpu])
        yield* readTwice
        writeFileSync(file, '{"hives":{')
        yield* readTwice
        assert.strictEqual(notes.length, 2)
      })
    )
  )

  const Text = Schema.String.check(Schema.isPattern(/^\P{Cs}*$/u))
  const Devices = Schema.Array(Schema.Struct({ id: Text, name: Text, vram_gb: Schema.Finite }))
  it.live.prop("keeps any text and any number", [Text, Devices], ([alias, devices]) =>
    withCache(() =>
      Effect.gen(function* () {
        const { all, put } = yield* CapabilitiesCache
        const written = devices.map(
          (device) => new Capability({ ...device, device_type: "gpu", compute_capability: device.name })
        )
        yield* put(alias, written)
        const read = Object.entries(yield* all).map(([name, hive]) => [name, hive.devices])
        assert.strictEqual(JSON.stringify(read), JSON.stringify([[alias, written]]))
      })
    )
  )

  it.live("leaves the list of the original rbee alone", () =>
    withCache((home) =>
      Effect.gen(function* () {
        const { all, drop, put } = yield* CapabilitiesCache
        const file = join(home, "config", "capabilities.yaml")
        writeFileSync(file, "last_updated: 2025-11-01\nhives:\n  atlas: []\n")
        assert.deepStrictEqual(yield* all, {})
        yield* put("atlas", [cpu])
        yield* drop("atlas")
        assert.strictEqual(readFileSync(file, "utf8"), "last_updated: 2025-11-01\nhives:\n  atlas: []\n")
      })
    )
  )

  it.live("loses nothing when many write at once", () =>
    withCache(() =>
      Effect.gen(function* () {
        const { all, put } = yield* CapabilitiesCache
        const names = Array.from({ length: 20 }, (_, i) => `hive-${i}`)
        yield* Effect.forEach(names, (name) => put(name, [cpu]), { concurrency: "unbounded" })
        assert.deepStrictEqual(Object.keys(yield* all).sort(), names.sort())
      })
    )
  )
})
