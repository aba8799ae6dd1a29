import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type HiveEntry, HivesConfError, parseHivesConf } from "./HivesConfFormat.ts"
import { Paths } from "./Paths.ts"

/** The hives of `hives.conf`, as the file is now. */
export class HivesConf extends Context.Service<
  HivesConf,
  {
    /** Those of the last good file: a broken edit is logged and changes nothing. */
    readonly hives: Effect.Effect<ReadonlyArray<HiveEntry>>
    /** Reads the file now; no file means no hives. */
    readonly load: Effect.Effect<ReadonlyArray<HiveEntry>, HivesConfError>
  }
>()("rbee/config/HivesConf") {
  static readonly layer = Layer.effect(
    HivesConf,
    Effect.suspend(() => make)
  )

  /** A fixed list. */
  static readonly layerMemory = (hives: ReadonlyArray<HiveEntry>) =>
    Layer.succeed(HivesConf, HivesConf.of({ hives: Effect.succeed(hives), load: Effect.succeed(hives) }))
}

const lookEvery = "1500 millis"

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { config } = yield* Paths
  const file = path.join(config, "hives.conf")

  const unreadable = (value: string, expected: string) =>
    new HivesConfError({ file, line: 1, host: "", field: "(file)", value, expected })

  const load = Effect.gen(function* () {
    const bytes = yield* fs
      .readFile(file)
      .pipe(
        Effect.catch((error) =>
          error.reason._tag === "NotFound"
            ? Effect.succeed(new Uint8Array())
            : Effect.fail(unreadable(error.reason._tag, "a file that can be read"))
        )
      )
    const text = yield* Effect.try({
      try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
      catch: () => unreadable("bytes that are not UTF-8", "a text in UTF-8")
    })
    return yield* Effect.fromResult(parseHivesConf(text, file))
  })

  // The time alone would miss a second edit within its resolution.
  const stamp = fs.stat(file).pipe(
    Effect.map(
      ({ ino, mtime, size }) =>
        `${Option.getOrElse(ino, () => 0)}:${Option.getOrUndefined(mtime)?.getTime()}:${size}`
    ),
    Effect.orElseSucceed(() => "none")
  )

  let good: ReadonlyArray<HiveEntry> = []
  let seen: string | undefined

  const look = Effect.gen(function* () {
    const now = yield* stamp
    if (now === seen) return
    seen = now
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
  })

  yield* look
  yield* look.pipe(Effect.delay(lookEvery), Effect.forever, Effect.forkScoped)

  return HivesConf.of({ hives: Effect.sync(() => good), load })
})
