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
import { atomicWrite } from "./atomicWrite.ts"
import { makeFolder } from "./makeFolder.ts"
import { Pids } from "./Pids.ts"
import { version } from "./Program.ts"

/** The content of a pid file: how other processes find a running daemon. */
export const DaemonRecord = Schema.Struct({
  version: Schema.String,
  pid: Schema.Int.check(Schema.isGreaterThan(0)),
  startTime: Schema.String,
  url: Schema.String,
  startedAt: Schema.String
})
export type DaemonRecord = typeof DaemonRecord.Type

const RecordJson = Schema.fromJsonString(DaemonRecord)
const decode = Schema.decodeUnknownOption(RecordJson)
const encode = Schema.encodeSync(RecordJson)

/**
 * The pid files of daemons: `queen.json` and `hive-<id>.json` of running ones, `<name>~<pid>.json` of starting ones.
 */
export class PidFile extends Context.Service<
  PidFile,
  {
    /** The record of the named daemon, if its process is running. */
    readonly read: (name: string) => Effect.Effect<Option.Option<DaemonRecord>>
    /** Every running or starting process of the named daemon. */
    readonly processes: (name: string) => Effect.Effect<ReadonlyArray<DaemonRecord>>
    /** The names of all daemons that have a file. */
    readonly names: Effect.Effect<ReadonlyArray<string>>
    /** Writes the file of this process. Removes it when the scope closes, unless another process owns it by then. */
    readonly write: (
      name: string,
      url: string
    ) => Effect.Effect<void, PlatformError.PlatformError, Scope.Scope>
    /** Records a process that was started as the named daemon and has not yet written its own file. */
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
    const record = encode({ version, pid, startTime, url, startedAt })
    yield* Effect.provideService(
      atomicWrite(fileOf(name), record, { mode: 0o600, temporary }),
      FileSystem.FileSystem,
      fs
    )
  })

  const removeIfOwnedBy = Effect.fnUntraced(function* (name: string, pid: number) {
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

  const readOrRemoveStarting = Effect.fnUntraced(function* (file: string) {
    const running = yield* read(file)
    if (Option.isNone(running) && file.includes(startingMark)) yield* Effect.ignore(fs.remove(fileOf(file)))
    return running
  })

  return PidFile.of({
    read,
    processes: Effect.fn("PidFile.processes")(function* (name) {
      const own = (yield* files).filter((file) => daemonOf(file) === name)
      const running = (yield* Effect.forEach(own, readOrRemoveStarting)).flatMap(Option.toArray)
      return [...new Map(running.map((daemon) => [daemon.pid, daemon])).values()]
    }),
    names: Effect.map(files, (all) => [...new Set(all.map(daemonOf))]),
    write: (name, url) =>
      Effect.acquireRelease(put(name, process.pid, url), () => removeIfOwnedBy(name, process.pid)),
    markStarting: (name, pid, url) => put(startingName(name, pid), pid, url)
  })
})
