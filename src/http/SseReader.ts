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

/** When a stream counts as silent, and the error that it then fails with. */
export interface Silence<E> {
  readonly watch: SilenceWatch
  readonly error: () => E
  /**
   * Whether closing the scope of the bytes ends a waiting read, as it does with the pooled client. With other clients each
   * read is raced with the watch, which costs a fiber.
   */
  readonly closingEndsReads: boolean
}

/** How a stream's events are read, and the errors that it fails with. */
export interface SseOptions<A, E0, E> {
  /** The largest event that is accepted, in UTF-16 units. */
  readonly maxEventSize: number
  /** Converts an event; undefined skips it. */
  readonly map: (event: SseEvent) => A | undefined
  /** Called when bytes arrive. */
  readonly onBytes?: (() => void) | undefined
  /** Ends a silent stream; absent: the stream may be silent. */
  readonly silence?: Silence<E> | undefined
  /** Whether all events that matter have arrived. */
  readonly isOver?: () => boolean
  /** Converts an error of the connection. */
  readonly failed: (error: E0) => E
  readonly tooLarge: (error: Sse.SseError) => E
  /** The error if the stream must not end here; undefined if it may. */
  readonly brokenOff: () => E | undefined
}

const byteOrderMark = "\uFEFF"

// The time for reading the rest of a body after the last event that matters, so that the connection can be reused.
const cooldownTimeout = "250 millis"

/** Pulls bytes. The watch may end the pull while the scope stays open. */
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
 * Reads Server-Sent Events as the WHATWG standard defines them; chunks may end anywhere. The reader is one step around the
 * pull of the bytes, because it runs for every token. The stream can be run once.
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
