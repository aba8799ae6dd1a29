import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { StoredModel } from "../../operation/Inventory.ts"
import { Paths } from "../../settings/Paths.ts"
import { Settings } from "../../settings/Settings.ts"
import { atomicWrite } from "../../system/atomicWrite.ts"

/** The models in the last inventory of a hive. */
export interface HiveModels {
  readonly models: ReadonlyArray<StoredModel>
  /** The time of that inventory, in milliseconds. */
  readonly seenAt: number
  /** Whether the hive was in `hives.conf`; removing it there forgets its models. */
  readonly isConfigured: boolean
}

/**
 * The models of each hive, kept in `state/fleet.json` for `heartbeat.forget` after the hive's last answer, so that a
 * restarted queen knows the models of hives that are away. A damaged file is renamed to `fleet.json.damaged`. If the file
 * cannot be written, a restarted queen starts without models; nothing else changes.
 */
export class KnownModels extends Context.Service<
  KnownModels,
  {
    /** By hive, without those whose last answer is older than `heartbeat.forget`. */
    readonly all: Effect.Effect<ReadonlyMap<string, HiveModels>>
    /** Replaces the models of each of these hives. Writes the file at once if any models changed. */
    readonly record: (
      hives: ReadonlyMap<string, Pick<HiveModels, "models" | "isConfigured">>
    ) => Effect.Effect<void>
    readonly forget: (hive: string) => Effect.Effect<void>
  }
>()("rbee/queen/registry/KnownModels") {
  static readonly layerNoDeps = Layer.effect(
    KnownModels,
    Effect.suspend(() => make)
  )

  /** Without a file; for tests. */
  static readonly layerMemory = Layer.effect(
    KnownModels,
    Effect.suspend(() => makeWith(new Map(), () => Effect.void))
  )
}

const maxHives = 1024
const maxModels = 4096
const maxFileBytes = 64_000_000
const saveInterval = "1 minute"

const StoredHive = Schema.Struct({
  seen_at: Schema.Finite,
  configured: Schema.Boolean,
  models: Schema.Array(Schema.Unknown)
})
const FleetFile = Schema.fromJsonString(
  Schema.Struct({ version: Schema.Literal(1), hives: Schema.Record(Schema.String, StoredHive) })
)
const decode = Schema.decodeUnknownOption(FleetFile)
const decodeModel = Schema.decodeUnknownOption(StoredModel)

// Another version of rbee may store other fields of a model: unreadable models are skipped, and the file is not damaged.
const readHives = (text: string) =>
  Option.map(
    decode(text),
    ({ hives }): Map<string, HiveModels> =>
      new Map(
        Object.entries(hives).map(([hive, { configured, models, seen_at }]) => [
          hive,
          {
            models: models.flatMap((model) => Option.toArray(decodeModel(model))),
            seenAt: seen_at,
            isConfigured: configured
          }
        ])
      )
  )

const toText = (hives: ReadonlyMap<string, HiveModels>) =>
  JSON.stringify({
    version: 1,
    hives: Object.fromEntries(
      [...hives].map(([hive, { isConfigured, models, seenAt }]) => [
        hive,
        { seen_at: seenAt, configured: isConfigured, models }
      ])
    )
  })

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { state } = yield* Paths
  const file = path.join(state, "fleet.json")

  const setAside = Effect.gen(function* () {
    const damaged = `${file}.damaged`
    yield* Effect.ignore(fs.rename(file, damaged))
    yield* Effect.logWarning(
      "fleet.json is damaged and was renamed; the queen learns a hive's models again when the hive answers",
      { file: damaged }
    )
    return new Map<string, HiveModels>()
  })

  const read = Effect.gen(function* () {
    const { size } = yield* fs.stat(file)
    if (size > maxFileBytes) return yield* setAside
    const hives = readHives(yield* fs.readFileString(file))
    return Option.isSome(hives) ? hives.value : yield* setAside
  }).pipe(
    Effect.catchTag("PlatformError", ({ message, reason }) =>
      reason._tag === "NotFound"
        ? Effect.succeed(new Map<string, HiveModels>())
        : Effect.logWarning("fleet.json cannot be read and is treated as empty", {
            file,
            reason: message
          }).pipe(Effect.as(new Map<string, HiveModels>()))
    )
  )

  let isWritable = true
  const write = (hives: ReadonlyMap<string, HiveModels>) =>
    Effect.gen(function* () {
      yield* fs.makeDirectory(state, { recursive: true, mode: 0o700 })
      yield* Effect.provideService(
        atomicWrite(file, toText(hives), { mode: 0o600 }),
        FileSystem.FileSystem,
        fs
      )
      isWritable = true
    }).pipe(
      Effect.catchTag("PlatformError", ({ message }) => {
        const report = isWritable
          ? Effect.logWarning("fleet.json cannot be written; a restarted queen will not know the models", {
              file,
              reason: message
            })
          : Effect.void
        isWritable = false
        return report
      })
    )

  return yield* makeWith(yield* read, write)
})

const makeWith = Effect.fnUntraced(function* (
  stored: ReadonlyMap<string, HiveModels>,
  write: (hives: ReadonlyMap<string, HiveModels>) => Effect.Effect<void>
) {
  const clock = yield* Clock.Clock
  const { heartbeat } = yield* Settings
  const known = new Map(stored)
  const writing = yield* Semaphore.make(1)
  // Changed models are written at once, times of answers every minute.
  let isSaved = true

  const save = writing.withPermit(
    Effect.suspend(() => {
      if (isSaved) return Effect.void
      isSaved = true
      return write(known)
    })
  )
  const changed = Effect.suspend(() => {
    isSaved = false
    return save
  })

  const prune = () => {
    const oldest = clock.currentTimeMillisUnsafe() - Duration.toMillis(heartbeat.forget)
    for (const [hive, { seenAt }] of known) {
      // Insertion order: the hives with the oldest answers come first.
      if (seenAt >= oldest && known.size <= maxHives) continue
      known.delete(hive)
      isSaved = false
    }
  }

  const isSame = (previous: HiveModels | undefined, models: ReadonlyArray<StoredModel>) =>
    previous !== undefined && JSON.stringify(previous.models) === JSON.stringify(models)

  yield* save.pipe(Effect.delay(saveInterval), Effect.forever, Effect.forkScoped)
  yield* Effect.addFinalizer(() => save)

  return KnownModels.of({
    all: Effect.sync(() => {
      prune()
      return known
    }),
    record: Effect.fnUntraced(function* (hives) {
      let hasChanged = false
      for (const [hive, { isConfigured, models }] of hives) {
        const kept = models.slice(0, maxModels)
        if (!isSame(known.get(hive), kept)) hasChanged = true
        known.delete(hive)
        known.set(hive, { models: kept, seenAt: clock.currentTimeMillisUnsafe(), isConfigured })
        isSaved = false
      }
      if (hasChanged) yield* changed
    }),
    forget: Effect.fnUntraced(function* (hive) {
      if (known.delete(hive)) yield* changed
    })
  })
})
