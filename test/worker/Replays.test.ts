import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Replays } from "../../src/worker/Replays.ts"

const frame = (text: string) => new TextEncoder().encode(text)
const request = { id: "job-1", keepMs: 5_000 }

/** An answer that writes one frame and then waits forever, and how often it was aborted. */
const endless = () => {
  let aborts = 0
  return {
    frames: Stream.concat(Stream.make(frame("a")), Stream.never),
    abort: () => {
      aborts++
    },
    aborts: () => aborts
  }
}

const readOne = Effect.fnUntraced(function* (answer: Stream.Stream<Uint8Array> | undefined) {
  return answer === undefined ? undefined : yield* Stream.mkString(Stream.decodeText(Stream.take(answer, 1)))
})

describe("Replays", () => {
  it.effect("keep an answer that nobody reads for keepMs, then stop its generation and drop it", () =>
    Effect.gen(function* () {
      const replays = yield* Replays
      const { abort, aborts, frames } = endless()
      assert.strictEqual(yield* readOne(yield* replays.start(request, frames, abort)), "a")
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* readOne(yield* replays.find(request.id)), "a")
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(aborts(), 0)
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(aborts(), 1)
      assert.isUndefined(yield* replays.find(request.id))
    }).pipe(Effect.provide(Replays.layer))
  )

  it.effect("keep an answer as long as somebody reads it", () =>
    Effect.gen(function* () {
      const replays = yield* Replays
      const { abort, aborts, frames } = endless()
      const answer = yield* replays.start(request, frames, abort)
      yield* Effect.forkChild(Stream.runDrain(answer), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(aborts(), 0)
    }).pipe(Effect.provide(Replays.layer))
  )

  it.effect("do not stop an answer that has ended", () =>
    Effect.gen(function* () {
      const replays = yield* Replays
      const { abort, aborts } = endless()
      const answer = yield* replays.start(request, Stream.make(frame("a"), frame("b")), abort)
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(answer)), "ab")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(aborts(), 0)
      assert.isUndefined(yield* replays.find(request.id))
    }).pipe(Effect.provide(Replays.layer))
  )
})
