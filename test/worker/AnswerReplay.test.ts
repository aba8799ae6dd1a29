import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { AnswerReplay } from "../../src/worker/AnswerReplay.ts"

const frame = (text: string) => new TextEncoder().encode(text)

const textOf = (answer: AnswerReplay) => Stream.mkString(Stream.decodeText(answer.read))

describe("AnswerReplay", () => {
  it.effect("gives a late reader all frames, and follows until the end", () =>
    Effect.gen(function* () {
      const answer = new AnswerReplay(100)
      yield* answer.append(frame("a"))
      yield* answer.append(frame("b"))
      const reading = yield* Effect.forkChild(textOf(answer), { startImmediately: true })
      assert.isTrue(answer.hasReaders)
      yield* answer.append(frame("c"))
      yield* answer.end
      assert.strictEqual(yield* Fiber.join(reading), "abc")
      assert.isFalse(answer.hasReaders)
      assert.strictEqual(yield* textOf(answer), "abc")
    })
  )

  it.effect("loses no frame when a reader leaves and comes back", () =>
    Effect.gen(function* () {
      const answer = new AnswerReplay(100)
      yield* answer.append(frame("a"))
      const first = yield* Stream.mkString(Stream.decodeText(Stream.take(answer.read, 1)))
      yield* answer.append(frame("b"))
      yield* answer.end
      assert.strictEqual(first, "a")
      assert.strictEqual(yield* textOf(answer), "ab")
    })
  )

  it.effect("drops what its readers have read when the limit is reached, and is then no longer whole", () =>
    Effect.gen(function* () {
      const answer = new AnswerReplay(4)
      const reading = yield* Effect.forkChild(textOf(answer), { startImmediately: true })
      for (const text of ["ab", "cd", "ef", "gh"]) {
        yield* answer.append(frame(text))
        yield* Effect.yieldNow
      }
      yield* answer.end
      assert.strictEqual(yield* Fiber.join(reading), "abcdefgh")
      assert.isFalse(answer.isWhole)
      assert.isAtMost(answer.bytes, 4)
    })
  )

  it.effect("makes the writer wait for a reader when nothing can be dropped", () =>
    Effect.gen(function* () {
      const answer = new AnswerReplay(4)
      yield* answer.append(frame("abcd"))
      const writing = yield* Effect.forkChild(answer.append(frame("ef")), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(writing.pollUnsafe())
      assert.isTrue(answer.isWhole)
      const reading = yield* Effect.forkChild(textOf(answer), { startImmediately: true })
      yield* Fiber.join(writing)
      yield* answer.end
      assert.strictEqual(yield* Fiber.join(reading), "abcdef")
    })
  )
})
