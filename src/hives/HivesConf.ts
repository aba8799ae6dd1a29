import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import { Paths } from "../settings/Paths.ts"
import { systemProblem } from "../settings/systemProblem.ts"
import { type LockHeld, withLock } from "../system/FileLock.ts"
import { makeFolder } from "../system/makeFolder.ts"
import { Pids } from "../system/Pids.ts"
import { type HiveEntry, HivesConfError, parseHivesConf } from "./HivesConfFormat.ts"

/** The hives of `hives.conf`, as the file is now. */
export class HivesConf extends Context.Service<
  HivesConf,
  {
    /** Those of the last good file: a broken edit is logged and changes nothing. */
    readonly hives: Effect.Effect<ReadonlyArray<HiveEntry>>
    /** Reads the file now; no file means no hives. */
    readonly load: Effect.Effect<ReadonlyArray<HiveEntry>, HivesConfError>
    /**
     * Changes the file's text: one writer at a time among all processes, and readers see the old file or the new one. A
     * text that could not be read again is refused, and nothing is written. Gives whether anything changed.
     */
    readonly update: (edit: (text: string) => string) => Effect.Effect<boolean, HivesConfError | LockHeld>
  }
>()("rbee/hives/HivesConf") {
  static readonly layer = Layer.effect(
    HivesConf,
    Effect.suspend(() => make)
  )

  /** A fixed list. */
  static readonly layerMemory = (hives: ReadonlyArray<HiveEntry>) =>
    Layer.succeed(
      HivesConf,
      HivesConf.of({
        hives: Effect.succeed(hives),
        load: Effect.succeed(hives),
        update: () => Effect.succeed(false)
      })
    )
}

const pollInterval = "1500 millis"
const none = "none"

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const pids = yield* Pids
  const { config } = yield* Paths
  const file = path.join(config, "hives.conf")

  const unreadable = (value: string, expected: string) =>
    new HivesConfError({ file, line: 1, host: "", field: "(file)", value, expected })

  const read = Effect.gen(function* () {
    const bytes = yield* fs
      .readFile(file)
      .pipe(
        Effect.catch((error) =>
          error.reason._tag === "NotFound"
            ? Effect.succeed(new Uint8Array())
            : Effect.fail(unreadable(systemProblem(error), "a file that can be read"))
        )
      )
    return yield* Effect.try({
      // Its mark is kept, so that it is there when the text is saved.
      try: () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
      catch: () => unreadable("bytes that are not UTF-8", "a text in UTF-8")
    })
  })

  const load = Effect.flatMap(read, (text) => Effect.fromResult(parseHivesConf(text, file)))

  // The time alone would miss a second edit within its resolution.
  const stamp = fs.stat(file).pipe(
    Effect.map(
      ({ ino, mtime, size }) =>
        `${Option.getOrElse(ino, () => 0)}:${Option.getOrUndefined(mtime)?.getTime()}:${size}`
    ),
    Effect.orElseSucceed(() => none)
  )

  let good: ReadonlyArray<HiveEntry> = []
  let seen: string | undefined
  // A look that began before a change was saved must not end after it.
  const oneAtATime = yield* Semaphore.make(1)

  const look = Effect.gen(function* () {
    const now = yield* stamp
    if (now === seen) return
    seen = now
    if (now === none) {
      yield* Effect.logInfo("there is no hives.conf, and so no hive on another machine", { file })
    }
    yield* load.pipe(
      Effect.matchEffect({
        onSuccess: (hives) =>
          Effect.sync(() => {
            good = hives
          }),
        onFailure: (error) =>
          Effect.logWarning("hives.conf was not taken; the last good one is kept", { problem: error.message })
      })
    )
  }).pipe(oneAtATime.withPermits(1))

  yield* look
  yield* look.pipe(Effect.delay(pollInterval), Effect.forever, Effect.forkScoped)

  const write = (text: string) =>
    Effect.gen(function* () {
      // Who keeps the file elsewhere and has a link here keeps both.
      const target = yield* Effect.orElseSucceed(fs.realPath(file), () => file)
      const temporary = `${target}.new`
      const open = yield* fs.open(temporary, { flag: "w", mode: 0o600 })
      yield* open.writeAll(new TextEncoder().encode(text))
      yield* open.sync
      yield* fs.rename(temporary, target)
    }).pipe(Effect.scoped)

  const update = Effect.fn("HivesConf.update")(
    function* (edit: (text: string) => string) {
      yield* makeFolder(config, 0o700)
      return yield* withLock(`${file}.lock`)(
        Effect.gen(function* () {
          const before = yield* read
          const after = edit(before)
          if (after === before) return false
          const hives = yield* Effect.fromResult(parseHivesConf(after, file))
          yield* write(after)
          yield* Effect.sync(() => {
            good = hives
            seen = undefined
          }).pipe(oneAtATime.withPermits(1))
          return true
        })
      )
    },
    Effect.catchTag("PlatformError", (error) =>
      Effect.fail(unreadable(systemProblem(error), "a file that can be written"))
    ),
    Effect.provideService(FileSystem.FileSystem, fs),
    Effect.provideService(Pids, pids)
  )

  return HivesConf.of({ hives: Effect.sync(() => good), load, update })
})
