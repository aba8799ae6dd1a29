import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"

/** One event of a Server-Sent Events stream. */
export interface SseEvent {
  readonly id: string | undefined
  readonly event: string
  readonly data: string
}

/** What becomes of the events of a stream. */
export interface SseOptions<A> {
  /** The largest event that is taken, in UTF-16 units. */
  readonly maxEventSize: number
  /** What an event means; nothing, when it is to be passed over. */
  readonly map: (event: SseEvent) => A | undefined
  /** Whether no event that matters can follow. */
  readonly isOver?: () => boolean
}

// How long the rest of a body may take when all that matters was read, so that its connection can be used again.
const restWithin = "250 millis"

/**
 * Reads Server-Sent Events as the WHATWG standard defines them, from chunks that are cut anywhere. Fails with
 * `SseError` on an event that is too large.
 */
export const readSse = <A, E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  { isOver = () => false, map, maxEventSize }: SseOptions<A>
) =>
  Stream.transformPull(bytes, (pull) =>
    Effect.sync(() => {
      const decoder = new TextDecoder()
      let ready: Array<A> = []
      const parser = Sse.makeParser(
        (event) => {
          const mapped = event._tag === "Event" ? map(event) : undefined
          if (mapped !== undefined) ready.push(mapped)
        },
        { maxEventSize }
      )
      const feed = Effect.flatMap(pull, (chunks) => {
        for (const chunk of chunks) {
          const error = parser.feed(decoder.decode(chunk, { stream: true }))
          if (error !== undefined) return Effect.fail(error)
        }
        return Effect.void
      })
      const rest = Effect.forever(pull).pipe(
        Effect.timeoutOrElse({ duration: restWithin, orElse: () => Cause.done() }),
        Effect.catch(() => Cause.done())
      )
      return Effect.suspend(function next(): Pull.Pull<
        Arr.NonEmptyReadonlyArray<A>,
        E | Sse.SseError,
        void,
        R
      > {
        if (!Arr.isArrayNonEmpty(ready)) return isOver() ? rest : Effect.flatMap(feed, next)
        const events = ready
        ready = []
        return Effect.succeed(events)
      })
    })
  )
