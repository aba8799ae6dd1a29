// @effect-diagnostics nodeBuiltinImport:off -- a TextDecoder that is fed in pieces takes five times as long
import { StringDecoder } from "node:string_decoder"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Sse from "effect/encoding/Sse"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { fromScopedPull, scopedPull } from "./fromScopedPull.ts"
import { addFinalizer } from "./scopeFinalizers.ts"
import { type SilenceWatch, WatchedStream } from "./SilenceWatch.ts"
import { type SseEvent, SseParser } from "./SseParser.ts"

/** When a stream counts as silent, and what that means. */
export interface Silence<E> {
  readonly watch: SilenceWatch
  readonly error: () => E
  /**
   * Whether a read that waits ends when the scope of the bytes closes, as it does with the pooled client. With any other
   * client each read is raced with the watch, which costs a fiber.
   */
  readonly closingEndsReads: boolean
}

/** What becomes of the events of a stream, and how it fails. */
export interface SseOptions<A, E0, E> {
  /** The largest event that is taken, in UTF-16 units. */
  readonly maxEventSize: number
  /** What an event means; nothing, when it is to be passed over. */
  readonly map: (event: SseEvent) => A | undefined
  /** Called whenever bytes have come. */
  readonly onBytes?: (() => void) | undefined
  /** Who ends the stream when nothing comes, and how it fails then. Absent: it may be silent. */
  readonly silence?: Silence<E> | undefined
  /** Whether no event that matters can follow. */
  readonly isOver?: () => boolean
  /** What it means that the bytes failed. */
  readonly failed: (error: E0) => E
  readonly tooLarge: (error: Sse.SseError) => E
  /** Why an end of the bytes is no good end of the stream; nothing, when it is one. */
  readonly brokenOff: () => E | undefined
}

const byteOrderMark = "\uFEFF"

// How long the rest of a body may take when all that matters was read, so that its connection can be used again.
const cooldownTimeout = "250 millis"

/** The pull of the bytes, which a watch may end while the scope stays open. */
const pullOf = Effect.fnUntraced(function* <A, E, E2>(
  bytes: Stream.Stream<A, E>,
  silence: Silence<E2> | undefined
) {
  if (silence === undefined) return { pull: yield* scopedPull(bytes), watched: undefined }
  const own = yield* Scope.fork(yield* Effect.scope)
  const aborted = yield* Deferred.make<never, Cause.Done>()
  const watched = new WatchedStream(
    Effect.andThen(Deferred.fail(aborted, Cause.Done()), Scope.close(own, Exit.void))
  )
  const pull = yield* Scope.provide(scopedPull(bytes), own)
  const leave = silence.watch.add(watched)
  yield* addFinalizer(() => Effect.sync(leave))
  return {
    pull: silence.closingEndsReads ? pull : Effect.raceFirst(pull, Deferred.await(aborted)),
    watched
  }
})

/**
 * Reads Server-Sent Events as the WHATWG standard defines them, from chunks that are cut anywhere. All in one step around
 * the pull of the bytes, because it runs for every token. To be run once.
 */
export const readSse = <A, E0, E>(
  bytes: Stream.Stream<Uint8Array, E0>,
  options: SseOptions<A, E0, E>
): Stream.Stream<A, E> =>
  fromScopedPull(
    Effect.map(pullOf(bytes, options.silence), ({ pull, watched }) => {
      const {
        brokenOff,
        failed,
        isOver = () => false,
        map,
        maxEventSize,
        onBytes,
        silence,
        tooLarge
      } = options
      const decoder = new StringDecoder()
      let isStart = true
      let ready: Array<A> = []
      const parser = new SseParser(maxEventSize, (event) => {
        const mapped = map(event)
        if (mapped !== undefined) ready.push(mapped)
      })
      const end = (error: Cause.Done): Effect.Effect<never, E | Cause.Done> =>
        Effect.fail(brokenOff() ?? error)
      const rest = Effect.forever(pull).pipe(
        Effect.timeoutOrElse({ duration: cooldownTimeout, orElse: () => Cause.done() }),
        Effect.catch(() => end(Cause.Done()))
      )
      const give = (): Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E> => {
        if (!Arr.isArrayNonEmpty(ready)) {
          if (isOver()) return rest
          watched?.waits()
          return next
        }
        const events = ready
        ready = []
        return Effect.succeed(events)
      }
      const next = Effect.matchEffect(pull, {
        onSuccess: (chunks) => {
          watched?.heard()
          onBytes?.()
          for (const chunk of chunks) {
            const text = decoder.write(chunk)
            if (text === "") continue
            const error = parser.feed(isStart && text.startsWith(byteOrderMark) ? text.slice(1) : text)
            isStart = false
            if (error !== undefined) return Effect.fail(tooLarge(error))
          }
          return give()
        },
        onFailure: (error): Effect.Effect<never, E | Cause.Done> => {
          if (watched?.isSilent === true && silence !== undefined) return Effect.fail(silence.error())
          return Cause.isDone(error) ? end(error) : Effect.fail(failed(error))
        }
      })
      return Effect.suspend(give)
    })
  )
