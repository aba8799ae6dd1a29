import * as path from "node:path"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Paths } from "../settings/Paths.ts"
import { systemProblem } from "../settings/systemProblem.ts"
import { atomicWrite } from "../system/atomicWrite.ts"
import { withLock } from "../system/FileLock.ts"
import { makeFolder } from "../system/makeFolder.ts"
import { Pids } from "../system/Pids.ts"
import { Capability } from "./Capability.ts"

/** The devices of a hive at the time of its last answer. */
export const CachedHive = Schema.Struct({
  refreshed_at: Schema.String,
  devices: Schema.Array(Capability)
})
export type CachedHive = typeof CachedHive.Type

/** `capabilities.json` cannot be written. */
export class CacheNotWritable extends Schema.TaggedError<CacheNotWritable>()("CacheNotWritable", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.file} cannot be written: ${this.reason}`
  }
}

/**
 * The device lists of the hives, in `capabilities.json`. A damaged file counts as empty. The original rbee has a list of its
 * own in `capabilities.yaml`, which this cache neither reads nor writes.
 */
export class CapabilitiesCache extends Context.Service<
  CapabilitiesCache,
  {
    readonly all: Effect.Effect<Readonly<Record<string, CachedHive>>>
    readonly put: (alias: string, devices: ReadonlyArray<Capability>) => Effect.Effect<void, CacheNotWritable>
    /** Removes a hive; an unknown one is not an error. */
    readonly drop: (alias: string) => Effect.Effect<void, CacheNotWritable>
  }
>()("rbee/hives/CapabilitiesCache") {
  static readonly layer = Layer.effect(
    CapabilitiesCache,
    Effect.suspend(() => make)
  )
}

const CacheFile = Schema.Struct({ hives: Schema.Record(Schema.String, CachedHive) })
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(CacheFile))
const encode = Schema.encodeSync(CacheFile)
const toJson = (hives: Readonly<Record<string, CachedHive>>) =>
  `${JSON.stringify(encode({ hives }), undefined, 2)}\n`

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const pids = yield* Pids
  const { config } = yield* Paths
  const file = path.join(config, "capabilities.json")

  let isBroken = false
  const all = Effect.gen(function* () {
    const text = yield* Effect.option(fs.readFileString(file))
    if (Option.isNone(text)) return {}
    const found = decode(text.value)
    if (Option.isSome(found)) {
      isBroken = false
      return found.value.hives
    }
    if (!isBroken) yield* Effect.logWarning("capabilities.json is damaged and counts as empty", { file })
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
          yield* atomicWrite(file, toJson(edit(yield* all)), { mode: 0o600 })
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
