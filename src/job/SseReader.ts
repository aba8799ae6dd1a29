import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Sse from "effect/encoding/Sse"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { type SseEvent, SseParser } from "./SseParser.ts"

/** What becomes of the events of a stream, and how it fails. */
export interface SseOptions<A, E> {
  /** The largest event that is taken, in UTF-16 units. */
  readonly maxEventSize: number
  /** What an event means; nothing, when it is to be passed over. */
  readonly map: (event: SseEvent) => A | undefined
  /** Whether no event that matters can follow. */
  readonly isOver?: () => boolean
  readonly tooLarge: (error: Sse.SseError) => E
  /** Why an end of the bytes is no good end of the stream; nothing, when it is one. */
  readonly brokenOff: () => E | undefined
}

// How long the rest of a body may take when all that matters was read, so that its connection can be used again.
const restWithin = "250 millis"

/** Reads Server-Sent Events as the WHATWG standard defines them, from chunks that are cut anywhere. */
export const readSse = <A, E, E2, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  { brokenOff, isOver = () => false, map, maxEventSize, tooLarge }: SseOptions<A, E2>
): Stream.Stream<A, E | E2, R> =>
  Stream.transformPull(bytes, (pull) =>
    Effect.sync(() => {
      const decoder = new TextDecoder()
      let ready: Array<A> = []
      const parser = new SseParser(maxEventSize, (event) => {
        const mapped = map(event)
        if (mapped !== undefined) ready.push(mapped)
      })
      const rest = Effect.forever(pull).pipe(
        Effect.timeoutOrElse({ duration: restWithin, orElse: () => Cause.done() }),
        Effect.catch(() => Cause.done())
      )
      const give = (): Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E | E2, void, R> => {
        if (!Arr.isArrayNonEmpty(ready)) return isOver() ? rest : next
        const events = ready
        ready = []
        return Effect.succeed(events)
      }
      const next = Effect.matchEffect(pull, {
        onSuccess: (chunks) => {
          for (const chunk of chunks) {
            const error = parser.feed(decoder.decode(chunk, { stream: true }))
            if (error !== undefined) return Effect.fail(tooLarge(error))
          }
          return give()
        },
        onFailure: (error): Effect.Effect<never, E | E2 | Cause.Done> => {
          const broken = Cause.isDone(error) ? brokenOff() : undefined
          return Effect.fail(broken ?? error)
        }
      })
      return Effect.suspend(give)
    })
  )
