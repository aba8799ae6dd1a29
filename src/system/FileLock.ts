import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Pids, ProcessId } from "./Pids.ts"

/** A running process holds the lock. */
export class LockHeld extends Schema.TaggedError<LockHeld>()("LockHeld", {
  file: Schema.String,
  pid: Schema.Int
}) {
  override get message() {
    return `${this.file} is locked by process ${this.pid}; wait for it to finish or stop it`
  }
}

const HolderJson = Schema.fromJsonString(ProcessId)
const decode = Schema.decodeUnknownOption(HolderJson)
const encode = Schema.encodeSync(HolderJson)

const waits = Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 500 }))

/**
 * Holds a lock until the scope closes: a file that names the process. The lock of a process that no longer runs is taken over.
 * The folder must exist.
 */
export const acquire = Effect.fn("FileLock.acquire")(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const pids = yield* Pids
  const startTime = Option.getOrElse(yield* pids.startTime(process.pid), () => "")
  const own = encode({ pid: process.pid, startTime })
  // An unreadable lock is an error; otherwise the attempts would never end.
  const read = (lock: string) =>
    fs.readFileString(lock).pipe(
      Effect.map(Option.some),
      Effect.catchReason("PlatformError", "NotFound", () => Effect.succeedNone)
    )
  const remove = (lock: string) => Effect.ignore(fs.remove(lock))

  const unique = Effect.map(
    Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER),
    (number) => `${file}.${process.pid}-${number}`
  )

  // The lock appears with its content: an empty one would look abandoned.
  const create = Effect.fnUntraced(function* (lock: string) {
    const written = yield* unique
    yield* fs.writeFileString(written, own, { mode: 0o600 })
    return yield* fs.link(written, lock).pipe(
      Effect.as(true),
      Effect.catchIf(
        ({ reason }) => reason._tag === "AlreadyExists",
        () => Effect.succeed(false)
      ),
      Effect.ensuring(remove(written))
    )
  })

  const attempt = (lock: string): Effect.Effect<void, LockHeld | PlatformError.PlatformError> =>
    Effect.gen(function* () {
      if (yield* create(lock)) return
      const text = yield* read(lock)
      if (Option.isSome(text)) yield* sweep(lock, text.value)
      return yield* attempt(lock)
    })

  // A second lock serializes the removal of a stale one, so that no process removes its successor. The second lock may be
  // stale too.
  const sweep = Effect.fnUntraced(function* (lock: string, text: string) {
    const holder = decode(text)
    if (Option.isSome(holder) && (yield* pids.isAlive(holder.value))) {
      return yield* new LockHeld({ file, pid: holder.value.pid })
    }
    const broom = `${lock}.stale`
    yield* Effect.acquireUseRelease(
      attempt(broom),
      () =>
        Effect.flatMap(read(lock), (again) =>
          Option.isSome(again) && again.value === text ? remove(lock) : Effect.void
        ),
      () => remove(broom)
    )
  })

  yield* Effect.acquireRelease(attempt(file), () => remove(file))
})

/** Runs work under a lock, one process at a time; waits for the lock for at most ten seconds. */
export const withLock =
  (file: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.scoped(
      Effect.andThen(
        Effect.retry(acquire(file), { schedule: waits, while: ({ _tag }) => _tag === "LockHeld" }),
        work
      )
    )
