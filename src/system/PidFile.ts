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
import { Paths } from "../settings/Paths.ts"
import { makeFolder } from "./makeFolder.ts"
import { Pids } from "./Pids.ts"
import { version } from "./Program.ts"

/** What a running daemon leaves for others to find it. */
export const DaemonRecord = Schema.Struct({
  version: Schema.String,
  pid: Schema.Int.check(Schema.isGreaterThan(0)),
  startTime: Schema.String,
  url: Schema.String,
  startedAt: Schema.String
})
export type DaemonRecord = typeof DaemonRecord.Type

const RunningJson = Schema.fromJsonString(DaemonRecord)
const decode = Schema.decodeUnknownOption(RunningJson)
const encode = Schema.encodeSync(RunningJson)

/**
 * The state files of daemons, `queen.json` and `hive-<id>.json`, and of those that are being started,
 * `<name>~<pid>.json`.
 */
export class PidFile extends Context.Service<
  PidFile,
  {
    /** The daemon of that name, if its process runs. */
    readonly read: (name: string) => Effect.Effect<Option.Option<DaemonRecord>>
    /** Every process that runs as that daemon, or is about to. */
    readonly processes: (name: string) => Effect.Effect<ReadonlyArray<DaemonRecord>>
    /** The names of all daemons that left a file. */
    readonly names: Effect.Effect<ReadonlyArray<string>>
    /** Writes the file of this process, and removes it when the scope closes, if it is still its own. */
    readonly write: (
      name: string,
      url: string
    ) => Effect.Effect<void, PlatformError.PlatformError, Scope.Scope>
    /** Tells of a process that was started as that daemon and has not written a file itself yet. */
    readonly markStarting: (
      name: string,
      pid: number,
      url: string
    ) => Effect.Effect<void, PlatformError.PlatformError>
  }
>()("rbee/system/PidFile") {
  static readonly layer = Layer.effect(
    PidFile,
    Effect.suspend(() => make)
  )
}

const extension = ".json"
const startingMark = "~"

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Paths
  const pids = yield* Pids
  const folder = path.join(paths.state, "run")
  const fileOf = (name: string) => path.join(folder, name + extension)
  const startingName = (name: string, pid: number) => `${name}${startingMark}${pid}`

  const stored = (name: string) =>
    Effect.map(Effect.option(fs.readFileString(fileOf(name))), Option.flatMap(decode))

  const read = Effect.fnUntraced(function* (name: string) {
    const running = yield* stored(name)
    return Option.isSome(running) && (yield* pids.isAlive(running.value))
      ? running
      : Option.none<DaemonRecord>()
  })

  const put = Effect.fnUntraced(function* (name: string, pid: number, url: string) {
    yield* makeFolder(folder, 0o700)
    const startTime = Option.getOrElse(yield* pids.startTime(pid), () => "")
    const startedAt = DateTime.formatIso(yield* DateTime.now)
    const temporary = path.join(folder, `${name}.${process.pid}.tmp`)
    yield* fs.writeFileString(temporary, encode({ version, pid, startTime, url, startedAt }), { mode: 0o600 })
    yield* fs.rename(temporary, fileOf(name))
  })

  const removeIfOf = Effect.fnUntraced(function* (name: string, pid: number) {
    const running = yield* stored(name)
    if (Option.isSome(running) && running.value.pid === pid) yield* Effect.ignore(fs.remove(fileOf(name)))
  })

  const files = fs.readDirectory(folder).pipe(
    Effect.map((entries) =>
      entries.filter((entry) => entry.endsWith(extension)).map((entry) => entry.slice(0, -extension.length))
    ),
    Effect.orElseSucceed((): ReadonlyArray<string> => [])
  )

  const daemonOf = (file: string) => file.split(startingMark)[0] ?? file

  const forgetDead = Effect.fnUntraced(function* (file: string) {
    const running = yield* read(file)
    if (Option.isNone(running) && file.includes(startingMark)) yield* Effect.ignore(fs.remove(fileOf(file)))
    return running
  })

  return PidFile.of({
    read,
    processes: Effect.fn("RunFile.processes")(function* (name) {
      const own = (yield* files).filter((file) => daemonOf(file) === name)
      const running = (yield* Effect.forEach(own, forgetDead)).flatMap(Option.toArray)
      return [...new Map(running.map((daemon) => [daemon.pid, daemon])).values()]
    }),
    names: Effect.map(files, (all) => [...new Set(all.map(daemonOf))]),
    write: (name, url) =>
      Effect.acquireRelease(put(name, process.pid, url), () => removeIfOf(name, process.pid)),
    markStarting: (name, pid, url) => put(startingName(name, pid), pid, url)
  })
})
