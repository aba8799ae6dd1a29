import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"

/**
 * A text that changes when a file is written, replaced, or gets another mode. The modification time alone would miss a second
 * edit within its resolution.
 */
export const stampOf = ({ ino, mode, mtime, size }: FileSystem.File.Info) =>
  [size, Option.getOrUndefined(mtime)?.getTime(), Option.getOrUndefined(ino), mode].join(":")

/** The stamp of a file; for an absent or inaccessible file, the kind of error, such as `NotFound`. */
export const fileStamp = (file: string) =>
  FileSystem.FileSystem.use((fs) =>
    Effect.match(fs.stat(file), { onSuccess: stampOf, onFailure: ({ reason }) => reason._tag })
  )

/** The last good value of a file, and whether the file has since become unreadable. */
export interface FileState<A> {
  readonly value: A
  readonly isBroken: boolean
}

export interface WatchedFile<A> {
  /** The state of the last check. */
  readonly known: Effect.Effect<FileState<A>>
  /** The state after a check that began no earlier than this call, or at most `maxAge` ago. */
  readonly latest: Effect.Effect<FileState<A>>
  /** Sets the value after this process has written the file. */
  readonly replace: (value: A) => Effect.Effect<void>
}

export interface WatchedFileOptions<A, E> {
  readonly file: string
  /** The value until the file has been read successfully. */
  readonly initial: A
  /** Reads the file; also called when it does not exist. */
  readonly read: Effect.Effect<A, E, FileSystem.FileSystem>
  /** Called once for each change of the file that leaves it unreadable. */
  readonly onBroken: (error: E) => Effect.Effect<void>
  /** How long `latest` trusts a check; zero by default. */
  readonly maxAge?: Duration.Input
}

/**
 * Keeps the value of a file, and reads the file again only when its stamp has changed, or after a failure, which may end
 * without a change of the stamp. A failed read keeps the last good value.
 */
export const watchFile = Effect.fnUntraced(function* <A, E>(options: WatchedFileOptions<A, E>) {
  const { file, onBroken, read } = options
  const maxAge = Duration.toMillis(options.maxAge ?? 0)
  const fs = yield* FileSystem.FileSystem
  const clock = yield* Clock.Clock
  const mutex = yield* Semaphore.make(1)
  let state: FileState<A> = { value: options.initial, isBroken: false }
  let seen: string | undefined

  const check = Effect.gen(function* () {
    const stamp = yield* fileStamp(file)
    if (stamp === seen && !state.isBroken) return
    yield* Effect.matchEffect(read, {
      onSuccess: (value) =>
        Effect.sync(() => {
          state = { value, isBroken: false }
        }),
      onFailure: (error) =>
        Effect.suspend(() => {
          state = { ...state, isBroken: true }
          return stamp === seen ? Effect.void : onBroken(error)
        })
    })
    seen = stamp
  }).pipe(Effect.provideService(FileSystem.FileSystem, fs))

  let requested = 0
  let answered = 0
  let checkedAt = Number.NEGATIVE_INFINITY
  // One check answers all requests that were made before it began.
  const checkOnce = Effect.suspend(() => {
    const own = ++requested
    return Effect.suspend(() => {
      if (answered >= own) return Effect.void
      const last = requested
      const startedAt = clock.currentTimeMillisUnsafe()
      return Effect.andThen(
        check,
        Effect.sync(() => {
          answered = last
          checkedAt = startedAt
        })
      )
    }).pipe(mutex.withPermits(1))
  })
  // The clock may be set back.
  const isFresh = () => Math.abs(clock.currentTimeMillisUnsafe() - checkedAt) < maxAge

  return {
    known: Effect.sync(() => state),
    latest: Effect.suspend(() => (isFresh() ? Effect.succeed(state) : Effect.map(checkOnce, () => state))),
    replace: (value) =>
      // A running check began before the file was written, and must not overwrite this value.
      Effect.sync(() => {
        state = { value, isBroken: false }
        seen = undefined
      }).pipe(mutex.withPermits(1))
  } satisfies WatchedFile<A>
})
