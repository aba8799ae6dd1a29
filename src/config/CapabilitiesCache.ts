import * as path from "node:path"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Yaml from "effect/encoding/Yaml"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Capability } from "./Capability.ts"
import { withLock } from "./FileLock.ts"
import { makeFolder } from "./makeFolder.ts"
import { Paths } from "./Paths.ts"
import { Pids } from "./Pids.ts"
import { systemProblem } from "./systemProblem.ts"

/** The devices of a hive, as they were when they were asked for. */
export const CachedHive = Schema.Struct({
  refreshed_at: Schema.String,
  devices: Schema.Array(Capability)
})
export type CachedHive = typeof CachedHive.Type

/** The cache cannot be written. */
export class CacheNotWritable extends Schema.TaggedError<CacheNotWritable>()("CacheNotWritable", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.file} cannot be written: ${this.reason}`
  }
}

/** `capabilities.yaml`: the devices of the hives, as they were last asked for. A broken file is as none. */
export class CapabilitiesCache extends Context.Service<
  CapabilitiesCache,
  {
    readonly all: Effect.Effect<Readonly<Record<string, CachedHive>>>
    readonly put: (alias: string, devices: ReadonlyArray<Capability>) => Effect.Effect<void, CacheNotWritable>
    /** Forgets a hive; that it is not there is a success. */
    readonly drop: (alias: string) => Effect.Effect<void, CacheNotWritable>
  }
>()("rbee/config/CapabilitiesCache") {
  static readonly layer = Layer.effect(
    CapabilitiesCache,
    Effect.suspend(() => make)
  )
}

const Hives = Schema.Record(Schema.String, CachedHive)
const decode = Schema.decodeUnknownOption(Schema.Struct({ hives: Hives }))

// A text in JSON's quotes is one in YAML's too.
const scalar = (value: number | string | null) => JSON.stringify(value)

const deviceLines = (device: Capability) =>
  Object.entries({
    id: device.id,
    name: device.name,
    device_type: device.device_type,
    vram_gb: device.vram_gb,
    compute_capability: device.compute_capability
  }).map(([key, value], index) => `      ${index === 0 ? "- " : "  "}${key}: ${scalar(value)}`)

const hiveLines = (alias: string, { devices, refreshed_at }: CachedHive) =>
  [
    `  ${scalar(alias)}:`,
    `    refreshed_at: ${scalar(refreshed_at)}`,
    devices.length === 0 ? "    devices: []" : "    devices:"
  ].concat(devices.flatMap(deviceLines))

const toYaml = (hives: Readonly<Record<string, CachedHive>>) => {
  const entries = Object.entries(hives)
  if (entries.length === 0) return "hives: {}\n"
  const lines = entries.flatMap(([alias, hive]) => hiveLines(alias, hive))
  return `# The devices of the hives as they were last asked for; 'rbee hive refresh-capabilities' asks anew.\nhives:\n${lines.join("\n")}\n`
}

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const pids = yield* Pids
  const { config } = yield* Paths
  const file = path.join(config, "capabilities.yaml")

  let isBroken = false
  const all = Effect.gen(function* () {
    const text = yield* Effect.option(fs.readFileString(file))
    if (Option.isNone(text)) return {}
    const found = yield* Effect.option(Effect.try(() => Yaml.parse(text.value)))
    const hives = Option.flatMap(found, decode)
    if (Option.isSome(hives)) {
      isBroken = false
      return hives.value.hives
    }
    if (!isBroken) yield* Effect.logWarning("capabilities.yaml cannot be read, and counts as empty", { file })
    isBroken = true
    return {}
  })

  const change = (
    edit: (hives: Readonly<Record<string, CachedHive>>) => Readonly<Record<string, CachedHive>>
  ) =>
    Effect.gen(function* () {
      yield* makeFolder(config, 0o700)
      yield* withLock(`${file}.lock`)(
        Effect.gen(function* () {
          yield* fs.writeFileString(`${file}.new`, toYaml(edit(yield* all)), { mode: 0o600 })
          yield* fs.rename(`${file}.new`, file)
        })
      )
    }).pipe(
      Effect.catchTags({
        PlatformError: (error) => Effect.fail(new CacheNotWritable({ file, reason: systemProblem(error) })),
        LockHeld: ({ message }) => Effect.fail(new CacheNotWritable({ file, reason: message }))
      }),
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.provideService(Pids, pids)
    )

  return CapabilitiesCache.of({
    all,
    put: Effect.fn("CapabilitiesCache.put")(function* (alias, devices) {
      const refreshed_at = DateTime.formatIso(yield* DateTime.now)
      yield* change((hives) => ({ ...hives, [alias]: { refreshed_at, devices } }))
    }),
    drop: Effect.fn("CapabilitiesCache.drop")((alias) =>
      change((hives) => Object.fromEntries(Object.entries(hives).filter(([name]) => name !== alias)))
    )
  })
})
