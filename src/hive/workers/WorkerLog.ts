import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Settings } from "../../settings/Settings.ts"
import type { WorkerNotFound } from "./errors.ts"
import { Workers } from "./Workers.ts"
import { WorkerStore } from "./WorkerStore.ts"

/** The logs of the workers. Each is kept in two files of bounded size, of which the older goes first. */
export class WorkerLog extends Context.Service<
  WorkerLog,
  {
    /** The last lines of a worker's log, and with `follow` those to come, until the worker is gone. */
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
const trimEvery = "2 seconds"
const chunkBytes = 64 * 1024
const maxLine = 8192
const maxLines = 10_000

/** Cuts bytes into lines as they come; one that is too long is cut in pieces. */
class Lines {
  readonly #decoder = new TextDecoder()
  #rest = ""

  add(bytes: Uint8Array): ReadonlyArray<string> {
    const pieces = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r?\n/)
    this.#rest = pieces.pop() ?? ""
    while (this.#rest.length > maxLine) {
      pieces.push(this.#rest.slice(0, maxLine))
      this.#rest = this.#rest.slice(maxLine)
    }
    return pieces.map((line) => line.slice(0, maxLine))
  }

  end(): ReadonlyArray<string> {
    const rest = this.#rest
    this.#rest = ""
    return rest === "" ? [] : [rest]
  }
}

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const workers = yield* Workers
  const store = yield* WorkerStore
  const { workers: settings } = yield* Settings

  const sizeOf = (file: string) =>
    Effect.orElseSucceed(
      Effect.map(fs.stat(file), ({ size }) => Number(size)),
      () => 0
    )

  const readFrom = (file: string, position: number) =>
    Effect.gen(function* () {
      const open = yield* fs.open(file)
      const buffer = new Uint8Array(chunkBytes)
      const read = yield* open.read(buffer, { position: BigInt(position) })
      return buffer.subarray(0, Number(read))
    }).pipe(
      Effect.scoped,
      Effect.orElseSucceed(() => new Uint8Array())
    )

  // The process goes on appending to the file, so it is emptied where it lies.
  const trim = (id: string) =>
    Effect.gen(function* () {
      const file = store.logFile(id)
      if ((yield* sizeOf(file)) <= settings.logBytes) return
      yield* fs.copyFile(file, store.olderLogFile(id))
      yield* fs.truncate(file)
    }).pipe(Effect.ignore)

  yield* workers.list.pipe(
    Effect.flatMap(Effect.forEach(({ record }) => trim(record.id), { discard: true })),
    Effect.delay(trimEvery),
    Effect.forever,
    Effect.forkScoped
  )

  /** All lines that a file has now, and where it ended. */
  const whole = Effect.fnUntraced(function* (file: string, lines: Lines, keep: number) {
    let kept: Array<string> = []
    let position = 0
    while (true) {
      const bytes = yield* readFrom(file, position)
      if (bytes.length === 0) return { kept, position }
      position += bytes.length
      kept = [...kept, ...lines.add(bytes)].slice(-keep)
    }
  })

  return WorkerLog.of({
    read: (id, { follow, lines: wanted }) =>
      Stream.unwrap(
        Effect.gen(function* () {
          yield* workers.get(id)
          const keep = Math.min(wanted, maxLines)
          const lines = new Lines()
          const older = yield* whole(store.olderLogFile(id), lines, keep)
          const newer = yield* whole(store.logFile(id), lines, keep)
          const rest = follow ? [] : lines.end()
          const last = Stream.fromIterable(
            keep === 0 ? [] : [...older.kept, ...newer.kept, ...rest].slice(-keep)
          )
          if (!follow) return last

          let { position } = newer
          const isGone = Effect.match(
            Effect.suspend(() => workers.get(id)),
            { onFailure: () => true, onSuccess: () => false }
          )
          const next = Effect.gen(function* () {
            const gone = yield* isGone
            const file = store.logFile(id)
            // A file that is shorter than what was read of it was emptied.
            if ((yield* sizeOf(file)) < position) position = 0
            const found: Array<string> = []
            while (true) {
              const bytes = yield* readFrom(file, position)
              if (bytes.length === 0) break
              position += bytes.length
              found.push(...lines.add(bytes))
            }
            return { found, gone }
          })
          const coming = Stream.paginate(0, () =>
            Effect.map(
              Effect.delay(next, pollInterval),
              ({ found, gone }) => [found, gone ? Option.none<number>() : Option.some(0)] as const
            )
          )
          return Stream.concat(last, coming)
        })
      )
  })
})
