import * as path from "node:path"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Paths } from "./Paths.ts"
import { Pids } from "./Pids.ts"
import { version } from "./Program.ts"

/** What a running daemon leaves for others to find it. */
export const Running = Schema.Struct({
  version: Schema.String,
  pid: Schema.Int.check(Schema.isGreaterThan(0)),
  startTime: Schema.String,
  url: Schema.String,
  startedAt: Schema.String
})
export type Running = typeof Running.Type

const RunningJson = Schema.fromJsonString(Running)
const decode = Schema.decodeUnknownOption(RunningJson)
const encode = Schema.encodeSync(RunningJson)

/** The state files of daemons: `queen`, and `hive-<id>` for each hive of this home. */
export class RunFile extends Context.Service<
  RunFile,
  {
    /** The daemon of that name, if its process runs. */
    readonly read: (name: string) => Effect.Effect<Option.Option<Running>>
    /** The names of all daemons that left a file. */
    readonly names: Effect.Effect<ReadonlyArray<string>>
    /** Writes the file of this process, and removes it when the scope closes, if it is still its own. */
    readonly write: (
      name: string,
      url: string
    ) => Effect.Effect<void, PlatformError.PlatformError, Scope.Scope>
  }
>()("rbee/config/RunFile") {
  static readonly layer = Layer.effect(
    RunFile,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Paths
  const pids = yield* Pids
  const folder = path.join(paths.state, "run")
  const fileOf = (name: string) => path.join(folder, `${name}.json`)

  const stored = (name: string) =>
    Effect.map(Effect.option(fs.readFileString(fileOf(name))), Option.flatMap(decode))

  const read = Effect.fnUntraced(function* (name: string) {
    const running = yield* stored(name)
    return Option.isSome(running) && (yield* pids.isAlive(running.value)) ? running : Option.none<Running>()
  })

  const put = Effect.fnUntraced(function* (name: string, url: string) {
    yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
    const startTime = Option.getOrElse(yield* pids.startTime(process.pid), () => "")
    const startedAt = DateTime.formatIso(yield* DateTime.now)
    const temporary = `${fileOf(name)}.${process.pid}`
    yield* fs.writeFileString(temporary, encode({ version, pid: process.pid, startTime, url, startedAt }), {
      mode: 0o600
    })
    yield* fs.rename(temporary, fileOf(name))
  })

  const removeOwn = Effect.fnUntraced(function* (name: string) {
    const running = yield* stored(name)
    if (Option.isSome(running) && running.value.pid === process.pid)
      yield* Effect.ignore(fs.remove(fileOf(name)))
  })

  return RunFile.of({
    read,
    names: fs.readDirectory(folder).pipe(
      Effect.map((files) =>
        files.filter((file) => file.endsWith(".json")).map((file) => file.slice(0, -".json".length))
      ),
      Effect.orElseSucceed(() => [])
    ),
    write: (name, url) => Effect.acquireRelease(put(name, url), () => removeOwn(name))
  })
})
