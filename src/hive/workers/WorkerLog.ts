import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Settings } from "../../settings/Settings.ts"
import type { WorkerNotFound } from "./errors.ts"
import { readLines, rotate, sizeOf } from "./LogFile.ts"
import { LogLines } from "./LogLines.ts"
import { Workers } from "./Workers.ts"
import { WorkerStore } from "./WorkerStore.ts"

/** The logs of the workers. Each log has two files of bounded size; the older file is overwritten first. */
export class WorkerLog extends Context.Service<
  WorkerLog,
  {
    /** The last lines of a worker's log, at most 10,000; with `follow` also new lines until the worker is removed. */
    readonly read: (
      id: string,
      options: { readonly follow: boolean; readonly lines: number }
    ) => Stream.Stream<string, WorkerNotFound>
  }
>()("rbee/hive/workers/WorkerLog") {
  static readonly layerNoDeps = Layer.effect(
    WorkerLog,
    Effect.suspend(() => make)
  )
}

const pollInterval = "250 millis"
const rotateInterval = "2 seconds"
const maxLines = 10_000

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const workers = yield* Workers
  const store = yield* WorkerStore
  const { workers: settings } = yield* Settings

  const rotateLog = (id: string) => rotate(fs, store.logFile(id), store.olderLogFile(id), settings.logBytes)

  yield* workers.list.pipe(
    Effect.flatMap(Effect.forEach(({ record }) => rotateLog(record.id), { discard: true })),
    Effect.delay(rotateInterval),
    Effect.forever,
    Effect.forkScoped
  )

  const isRemoved = (id: string) =>
    Effect.match(
      Effect.suspend(() => workers.get(id)),
      { onFailure: () => true, onSuccess: () => false }
    )

  const follow = (id: string, lines: LogLines, from: number) => {
    const file = store.logFile(id)
    let position = from
    const next = Effect.gen(function* () {
      // Asked first, so that the lines before the removal are read.
      const isLast = yield* isRemoved(id)
      const wasRotated = (yield* sizeOf(fs, file)) < position
      const read = yield* readLines(fs, file, lines, wasRotated ? 0 : position, Number.POSITIVE_INFINITY)
      position = read.position
      return [read.lines, isLast ? Option.none<number>() : Option.some(0)] as const
    })
    return Stream.paginate(0, () => Effect.delay(next, pollInterval))
  }

  const read = Effect.fnUntraced(function* (
    id: string,
    options: { readonly follow: boolean; readonly lines: number }
  ) {
    yield* workers.get(id)
    const keep = Math.min(options.lines, maxLines)
    const lines = new LogLines()
    const older = yield* readLines(fs, store.olderLogFile(id), lines, 0, keep)
    const newer = yield* readLines(fs, store.logFile(id), lines, 0, keep)
    const rest = options.follow ? [] : lines.end()
    const last = Stream.fromIterable(keep === 0 ? [] : [...older.lines, ...newer.lines, ...rest].slice(-keep))
    return options.follow ? Stream.concat(last, follow(id, lines, newer.position)) : last
  })

  return WorkerLog.of({ read: (id, options) => Stream.unwrap(read(id, options)) })
})
