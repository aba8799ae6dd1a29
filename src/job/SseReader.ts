import * as Arr from "effect/Array"
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

/**
 * Reads Server-Sent Events as the WHATWG standard defines them, from chunks that are cut anywhere. Fails with
 * `SseError` on an event of more than `maxEventSize` UTF-16 units.
 */
export const readSse = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>, maxEventSize: number) =>
  Stream.transformPull(bytes, (pull) =>
    Effect.sync(() => {
      const decoder = new TextDecoder()
      let ready: Array<SseEvent> = []
      const parser = Sse.makeParser(
        (event) => {
          if (event._tag === "Event") ready.push(event)
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
      return Effect.suspend(function next(): Pull.Pull<
        Arr.NonEmptyReadonlyArray<SseEvent>,
        E | Sse.SseError,
        void,
        R
      > {
        if (!Arr.isArrayNonEmpty(ready)) return Effect.flatMap(feed, next)
        const events = ready
        ready = []
        return Effect.succeed(events)
      })
    })
  )
