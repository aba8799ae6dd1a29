import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** One reader's place in the answer. */
interface Reader {
  next: number
}

/**
 * The frames of one streamed answer, from its first one, for readers that may leave and come back. Beyond `maxBytes` the
 * frames that every present reader has read are dropped; the writer waits when that is not enough.
 */
export class AnswerReplay {
  readonly #maxBytes: number
  readonly #readers = new Set<Reader>()
  #frames: Array<Uint8Array> = []
  /** The number of the first kept frame. */
  #first = 0
  #ended = false
  #listeners: Array<() => void> = []
  bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Whether the answer can still be read from its beginning. */
  get isWhole() {
    return this.#first === 0
  }

  get hasReaders() {
    return this.#readers.size > 0
  }

  get hasEnded() {
    return this.#ended
  }

  /** Appends a frame; waits while there is no room for it. */
  append(frame: Uint8Array): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.bytes + frame.length > this.#maxBytes) this.#dropRead()
      if (this.bytes > 0 && this.bytes + frame.length > this.#maxBytes) {
        return Effect.andThen(this.#change, this.append(frame))
      }
      this.#frames.push(frame)
      this.bytes += frame.length
      this.#wake()
      return Effect.void
    })
  }

  /** Nothing follows. */
  readonly end = Effect.sync(() => {
    this.#ended = true
    this.#wake()
  })

  /** The answer from its first kept frame, while it grows and after its end. */
  readonly read: Stream.Stream<Uint8Array> = Stream.unwrap(
    Effect.gen({ self: this }, function* () {
      const reader = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const reader: Reader = { next: this.#first }
          this.#readers.add(reader)
          return reader
        }),
        (reader) =>
          Effect.sync(() => {
            this.#readers.delete(reader)
            this.#wake()
          })
      )
      return Stream.paginate(undefined, () => this.#take(reader))
    })
  )

  #take(reader: Reader): Effect.Effect<readonly [ReadonlyArray<Uint8Array>, Option.Option<undefined>]> {
    return Effect.suspend(() => {
      const frames = this.#frames.slice(reader.next - this.#first)
      if (frames.length === 0 && !this.#ended) return Effect.andThen(this.#change, this.#take(reader))
      reader.next += frames.length
      this.#wake()
      return Effect.succeed([frames, frames.length === 0 ? Option.none() : Option.some(undefined)] as const)
    })
  }

  #dropRead() {
    if (this.#readers.size === 0) return
    let read = Infinity
    for (const { next } of this.#readers) read = Math.min(read, next)
    for (const { length } of this.#frames.splice(0, read - this.#first)) this.bytes -= length
    this.#first = read
  }

  /** Returns at the next change. */
  get #change() {
    return Effect.callback<void>((resume) => {
      this.#listeners.push(() => resume(Effect.void))
    })
  }

  #wake() {
    const listeners = this.#listeners
    if (listeners.length === 0) return
    this.#listeners = []
    for (const listener of listeners) listener()
  }
}
