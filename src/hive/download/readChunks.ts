import type { Clock } from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { silenceError } from "./responseErrors.ts"

/** Passes a body on in chunks. Fails when no byte arrives for `silenceMillis` while the consumer is waiting. */
export const readChunks = <E, E2>(
  body: Stream.Stream<Uint8Array, E2>,
  take: (chunks: ReadonlyArray<Uint8Array>) => Effect.Effect<void, E>,
  {
    clock,
    silenceMillis,
    url
  }: { readonly clock: Clock; readonly silenceMillis: number; readonly url: string }
) =>
  Effect.suspend(() => {
    let receivedAt = clock.currentTimeMillisUnsafe()
    let isTaking = false
    const reading = Stream.runForEachArray(body, (chunks) => {
      isTaking = true
      return Effect.ensuring(
        take(chunks),
        Effect.sync(() => {
          isTaking = false
          receivedAt = clock.currentTimeMillisUnsafe()
        })
      )
    })
    const watching = Effect.gen(function* () {
      while (true) {
        const left = isTaking ? silenceMillis : receivedAt + silenceMillis - clock.currentTimeMillisUnsafe()
        if (left <= 0) return yield* silenceError(url, silenceMillis)
        yield* Effect.sleep(left)
      }
    })
    return Effect.raceFirst(reading, watching)
  })
