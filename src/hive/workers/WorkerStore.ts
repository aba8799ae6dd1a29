import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { Paths } from "../../settings/Paths.ts"
import { Settings } from "../../settings/Settings.ts"
import { systemProblem } from "../../settings/systemProblem.ts"
import { atomicWrite } from "../../system/atomicWrite.ts"
import { acquire } from "../../system/FileLock.ts"
import { makeFolder } from "../../system/makeFolder.ts"
import { HiveAlreadyRuns, StateNotWritable } from "./errors.ts"
import { StoredWorker } from "./WorkerRecord.ts"

/**
 * The records and logs of the running workers, in `<state>/hives/<hive id>/workers/`. One process at a time may use the
 * folder.
 */
export class WorkerStore extends Context.Service<
  WorkerStore,
  {
    /** The records that an earlier hive left. Files that are not records or their logs are removed. */
    readonly list: Effect.Effect<ReadonlyArray<StoredWorker>>
    readonly save: (worker: StoredWorker) => Effect.Effect<void, StateNotWritable>
    /** Removes the record, if it exists. */
    readonly remove: (id: string) => Effect.Effect<void>
    /** Removes the worker's log. */
    readonly removeLog: (id: string) => Effect.Effect<void>
    readonly logFile: (id: string) => string
    /** The file with the older part of a long log. */
    readonly olderLogFile: (id: string) => string
  }
>()("rbee/hive/workers/WorkerStore") {
  /** Fails with `HiveAlreadyRuns` when another process uses the folder. */
  static readonly layerNoDeps = Layer.effect(
    WorkerStore,
    Effect.suspend(() => make)
  )
}

const StoredJson = Schema.fromJsonString(StoredWorker)
const decodeWorker = Schema.decodeUnknownOption(StoredJson)
const encodeWorker = Schema.encodeSync(StoredJson)

const extension = ".json"

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { state } = yield* Paths
  const { hive } = yield* Settings
  const folder = path.join(state, "hives", hive.id, "workers")
  const notWritable = (error: PlatformError.PlatformError) =>
    new StateNotWritable({ folder, reason: systemProblem(error) })
  yield* Effect.mapError(makeFolder(folder, 0o700), notWritable)
  const lock = path.join(path.dirname(folder), "lock")
  yield* acquire(lock).pipe(
    Effect.catchTags({
      LockHeld: ({ pid }) => Effect.fail(new HiveAlreadyRuns({ hive: hive.id, pid })),
      PlatformError: (error) => Effect.fail(notWritable(error))
    })
  )

  const fileOf = (id: string) => path.join(folder, id + extension)
  const logFile = (id: string) => path.join(folder, `${id}.log`)
  const olderLogFile = (id: string) => `${logFile(id)}.1`
  const discard = (file: string) => Effect.ignore(fs.remove(file, { force: true }))

  const read = Effect.fnUntraced(function* (id: string) {
    const text = yield* Effect.orElseSucceed(fs.readFileString(fileOf(id)), () => "")
    const stored = Option.filter(decodeWorker(text), ({ spec }) => spec.id === id)
    if (Option.isNone(stored)) yield* discard(fileOf(id))
    return stored
  })

  const list = Effect.gen(function* () {
    const files = yield* Effect.orElseSucceed(fs.readDirectory(folder), () => [])
    const ids = files.flatMap((file) => (file.endsWith(extension) ? file.slice(0, -extension.length) : []))
    const stored = yield* Effect.forEach(ids, read)
    const workers = stored.flatMap(Option.toArray)
    const kept = new Set(
      workers.flatMap(({ spec }) => [`${spec.id}${extension}`, `${spec.id}.log`, `${spec.id}.log.1`])
    )
    const stale = files.filter((file) => !kept.has(file))
    yield* Effect.forEach(stale, (file) => discard(path.join(folder, file)), { discard: true })
    return workers
  })

  return WorkerStore.of({
    list,
    save: Effect.fn("WorkerStore.save")(function* (worker) {
      const file = fileOf(worker.spec.id)
      yield* atomicWrite(file, encodeWorker(worker), { mode: 0o600 }).pipe(
        Effect.provideService(FileSystem.FileSystem, fs),
        Effect.mapError(notWritable)
      )
    }),
    remove: (id) => discard(fileOf(id)),
    removeLog: (id) => Effect.andThen(discard(logFile(id)), discard(olderLogFile(id))),
    logFile,
    olderLogFile
  })
})
