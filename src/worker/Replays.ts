import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { AnswerReplay } from "./AnswerReplay.ts"

/** A request whose answer is kept. */
export interface KeptRequest {
  readonly id: string
  /** How long the answer is kept, and its generation goes on, while nobody reads it; in milliseconds. */
  readonly keepMs: number
}

interface Kept {
  readonly answer: AnswerReplay
  readonly keepMs: number
  readonly abort: () => void
  /** Since when nobody reads it, in milliseconds of the clock. */
  idleSince: number
}

const maxBytesOfAnswer = 16_000_000
const maxBytesOfAll = 64_000_000
const sweepInterval = "1 second"

/**
 * The streamed answers of this worker that their clients asked to keep, so that a hive that restarts reads an answer again
 * from its beginning while the worker goes on with it. An answer that nobody has read for its `keepMs` is stopped and
 * dropped; of the ended ones, 64 MB are kept.
 */
export class Replays extends Context.Service<
  Replays,
  {
    /** The answer to the request with this id, from its beginning; absent if it is not kept, or no longer whole. */
    readonly find: (id: string) => Effect.Effect<Stream.Stream<Uint8Array> | undefined>
    /** Runs the answer to its end, also when its reader leaves; gives the stream for its first reader. */
    readonly start: (
      request: KeptRequest,
      frames: Stream.Stream<Uint8Array>,
      abort: () => void
    ) => Effect.Effect<Stream.Stream<Uint8Array>>
  }
>()("rbee/worker/Replays") {
  static readonly layer = Layer.effect(
    Replays,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const kept = new Map<string, Kept>()

  const drop = (id: string, { abort, answer }: Kept) => {
    if (!answer.hasEnded) abort()
    kept.delete(id)
  }

  const read = (request: Kept) =>
    Stream.ensuring(
      request.answer.read,
      Effect.sync(() => {
        request.idleSince = clock.currentTimeMillisUnsafe()
      })
    )

  /** Drops what nobody has read for too long, then the oldest ended answers beyond the limit. */
  const sweep = Effect.sync(() => {
    const now = clock.currentTimeMillisUnsafe()
    let bytes = 0
    for (const [id, request] of kept) {
      if (!request.answer.hasReaders && now - request.idleSince >= request.keepMs) drop(id, request)
      else bytes += request.answer.bytes
    }
    for (const [id, request] of kept) {
      if (bytes <= maxBytesOfAll) return
      if (!request.answer.hasEnded || request.answer.hasReaders) continue
      drop(id, request)
      bytes -= request.answer.bytes
    }
  })

  const find = Effect.fn("Replays.find")((id: string) =>
    Effect.sync(() => {
      const request = kept.get(id)
      return request?.answer.isWhole === true ? read(request) : undefined
    })
  )

  const start = Effect.fn("Replays.start")(function* (
    { id, keepMs }: KeptRequest,
    frames: Stream.Stream<Uint8Array>,
    abort: () => void
  ) {
    const answer = new AnswerReplay(maxBytesOfAnswer)
    const idleSince = clock.currentTimeMillisUnsafe()
    const request = { answer, keepMs, abort, idleSince }
    kept.set(id, request)
    yield* Stream.runForEach(frames, (frame) => answer.append(frame)).pipe(
      Effect.ensuring(answer.end),
      Effect.forkIn(scope)
    )
    return read(request)
  })

  yield* sweep.pipe(Effect.delay(sweepInterval), Effect.forever, Effect.forkScoped)

  return Replays.of({ find, start })
})
