import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { TransientMap } from "./TransientMap.ts"

// A stream is given up at most one of these parts early, and never late.
const looksPerLimit = 20

/** A stream of which a byte is expected at least every few seconds. */
export class WatchedStream {
  /** Whether a read waits for bytes; a reader that is busy elsewhere is not a silent stream. */
  isWaiting = false
  /** How often the watch looked while the current read waited. */
  looks = 0
  /** Whether the watch gave the stream up. */
  isSilent = false
  /** Ends the read that waits. */
  readonly abort: Effect.Effect<void>

  constructor(abort: Effect.Effect<void>) {
    this.abort = abort
  }

  /** A read waits for bytes from now on. */
  waits() {
    this.isWaiting = true
    this.looks = 0
  }

  /** Bytes came. */
  heard() {
    this.isWaiting = false
  }
}

/** Notices streams on which nothing comes. */
export interface SilenceWatch {
  readonly limit: Duration.Duration
  /** Watches the stream until the returned function is called. */
  readonly add: (stream: WatchedStream) => () => void
}

/**
 * A watch with one timer for all its streams. It counts its looks and not the time, so that a process that stood still
 * does not take all its streams for silent.
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
