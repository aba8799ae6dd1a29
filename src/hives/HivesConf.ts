import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { Paths } from "../settings/Paths.ts"
import { systemProblem } from "../settings/systemProblem.ts"
import { atomicWrite } from "../system/atomicWrite.ts"
import { type LockHeld, withLock } from "../system/FileLock.ts"
import { makeFolder } from "../system/makeFolder.ts"
import { Pids } from "../system/Pids.ts"
import { watchFile } from "../system/watchedFile.ts"
import { type HiveEntry, HivesConfError, parseHivesConf } from "./HivesConfFormat.ts"

/** The hives of `hives.conf`. Changes of the file apply within two seconds. */
export class HivesConf extends Context.Service<
  HivesConf,
  {
    /** The hives of the last valid file. An invalid edit is logged and changes nothing. */
    readonly hives: Effect.Effect<ReadonlyArray<HiveEntry>>
    /** Reads the file now. Without a file there are no hives. */
    readonly load: Effect.Effect<ReadonlyArray<HiveEntry>, HivesConfError>
    /**
     * Edits the text of the file: one writer at a time among all processes, and readers see the complete old or new file. A
     * text that cannot be parsed is rejected, and nothing is written. Returns whether the text changed.
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

const unusable = (file: string, value: string, expected: string) =>
  new HivesConfError({ file, line: 1, host: "", field: "(file)", value, expected })

/** The text of the file; none when the file does not exist. */
const readText = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const bytes = yield* Effect.catch(fs.readFile(file), (error) =>
    error.reason._tag === "NotFound"
      ? Effect.undefined
      : Effect.fail(unusable(file, systemProblem(error), "a file that can be read"))
  )
  if (bytes === undefined) return undefined
  return yield* Effect.try({
    // The byte order mark stays in the text, so that an edit preserves it.
    try: () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    catch: () => unusable(file, "bytes that are not UTF-8", "a text in UTF-8")
  })
})

const parse = (text: string, file: string) => Effect.fromResult(parseHivesConf(text, file))

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const pids = yield* Pids
  const { config } = yield* Paths
  const file = path.join(config, "hives.conf")
  const read = Effect.provideService(readText(file), FileSystem.FileSystem, fs)

  const watched = yield* watchFile<ReadonlyArray<HiveEntry>, HivesConfError>({
    file,
    initial: [],
    read: Effect.flatMap(read, (text) =>
      text === undefined
        ? Effect.as(
            Effect.logInfo("hives.conf does not exist, so no hives are configured on other machines", {
              file
            }),
            []
          )
        : parse(text, file)
    ),
    onBroken: ({ message }) =>
      Effect.logWarning("hives.conf is invalid; its last valid version remains in use", { problem: message })
  })
  yield* watched.latest
  yield* watched.latest.pipe(Effect.delay(pollInterval), Effect.forever, Effect.forkScoped)

  const edited = Effect.fnUntraced(function* (edit: (text: string) => string) {
    const before = (yield* read) ?? ""
    const after = edit(before)
    if (after === before) return false
    const hives = yield* parse(after, file)
    // A symbolic link stays a link.
    const target = yield* Effect.orElseSucceed(fs.realPath(file), () => file)
    yield* atomicWrite(target, after, { mode: 0o600, sync: true })
    yield* watched.replace(hives)
    return true
  })

  return HivesConf.of({
    hives: Effect.map(watched.known, ({ value }) => value),
    load: Effect.flatMap(read, (text = "") => parse(text, file)),
    update: Effect.fn("HivesConf.update")(
      function* (edit) {
        yield* makeFolder(config, 0o700)
        return yield* withLock(`${file}.lock`)(edited(edit))
      },
      Effect.catchTag("PlatformError", (error) =>
        Effect.fail(unusable(file, systemProblem(error), "a file that can be written"))
      ),
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.provideService(Pids, pids)
    )
  })
})
