import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { TransientMap } from "./TransientMap.ts"

// A stream is ended at most one of these parts early, and never late.
const looksPerLimit = 20

/** A stream that should deliver a byte at least every few seconds. */
export class WatchedStream {
  /** Whether a read waits for bytes. While the reader does something else, the stream does not count as silent. */
  isWaiting = false
  /** The number of checks since the current read began to wait. */
  looks = 0
  /** Whether the watch has ended the stream. */
  isSilent = false
  /** Ends the waiting read. */
  readonly abort: Effect.Effect<void>

  constructor(abort: Effect.Effect<void>) {
    this.abort = abort
  }

  /** Notes that a read begins to wait. */
  waits() {
    this.isWaiting = true
    this.looks = 0
  }

  /** Notes that bytes have arrived. */
  heard() {
    this.isWaiting = false
  }
}

/** Ends streams that deliver nothing for too long. */
export interface SilenceWatch {
  readonly limit: Duration.Duration
  /** Watches the stream until the returned function is called. */
  readonly add: (stream: WatchedStream) => () => void
}

/**
 * A watch with one timer for all its streams. It counts its checks instead of the time, so that a process that was
 * suspended does not treat all its streams as silent.
 */
export const makeSilenceWatch = Effect.fnUntraced(function* (limit: Duration.Duration) {
  const streams = new TransientMap<object, WatchedStream>()
  const watched = yield* Latch.make(false)

  const look = Effect.suspend(() => {
    if (streams.size === 0) watched.closeUnsafe()
    const silent: Array<WatchedStream> = []
    for (const stream of streams.values()) {
      if (!stream.isWaiting || ++stream.looks < looksPerLimit || stream.isSilent) continue
      stream.isSilent = true
      silent.push(stream)
    }
    return Effect.forEach(silent, ({ abort }) => abort, { discard: true })
  })
  yield* Effect.sleep(Duration.toMillis(limit) / looksPerLimit).pipe(
    Effect.andThen(look),
    Effect.andThen(watched.await),
    Effect.forever,
    Effect.forkScoped
  )

  const watch: SilenceWatch = {
    limit,
    add: (stream) => {
      const key = {}
      streams.set(key, stream)
      watched.openUnsafe()
      return () => streams.delete(key)
    }
  }
  return watch
})
