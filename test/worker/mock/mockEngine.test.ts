import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Sampling } from "../../../src/worker/Generator.ts"
import { mockEngine } from "../../../src/worker/mock/mockEngine.ts"

const intervalMs = 20
const engine = mockEngine({ seed: 7, tokens: 8, intervalMs, contextSize: 100, slots: 4 })

const sampling: Sampling = {
  maxTokens: Number.POSITIVE_INFINITY,
  isExact: false,
  temperature: 1,
  topP: 1,
  topK: 40,
  minP: 0,
  seed: undefined,
  stop: [],
  choices: 1,
  grammar: undefined,
  logprobs: undefined,
  repeatPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  penaltyWindow: 64
}

const answer = Effect.fnUntraced(function* (
  prompt: string,
  changes: Partial<Sampling> = {},
  signal = new AbortController().signal,
  from: typeof engine = engine
) {
  const tokens = yield* from.tokenize(prompt, "prompt")
  const pieces = yield* from.generate([tokens], { ...sampling, ...changes }, signal)
  const running = yield* Effect.forkChild(Stream.runCollect(pieces))
  yield* TestClock.adjust("10 seconds")
  const all = yield* Fiber.join(running)
  const texts = all.flatMap((piece) => (piece._tag === "Text" ? [piece.text] : []))
  return { text: texts.join(""), texts, ends: all.flatMap((piece) => (piece._tag === "End" ? [piece] : [])) }
})

describe("a mock engine", () => {
  it.effect("writes the text of its seed, whatever the prompt", () =>
    Effect.gen(function* () {
      const { ends, text, texts } = yield* answer("Hello")
      assert.strictEqual(texts.length, 8)
      assert.isTrue(text.endsWith("."))
      assert.strictEqual(ends[0]?.reason, "stop")
      assert.strictEqual(ends[0]?.usage.promptTokens, 2)
      assert.strictEqual(ends[0]?.usage.completionTokens, 8)
      assert.strictEqual((yield* answer("Good bye")).text, text)
      const other = mockEngine({ seed: 8, tokens: 8, intervalMs, contextSize: 100, slots: 4 })
      assert.notStrictEqual((yield* answer("Hello", {}, undefined, other)).text, text)
    })
  )

  it.effect("continues its text where the prompt ends with the beginning of it", () =>
    Effect.gen(function* () {
      const { text, texts } = yield* answer("Hello")
      const begun = texts.slice(0, 3).join("")
      assert.strictEqual((yield* answer(`Hello\n${begun}`)).text, text.slice(begun.length))
    })
  )

  it.effect("ends at max_tokens, at a stop string, and at the end of the context", () =>
    Effect.gen(function* () {
      const { text, texts } = yield* answer("Hello")
      const short = yield* answer("Hello", { maxTokens: 3 })
      assert.strictEqual(short.text, texts.slice(0, 3).join(""))
      assert.strictEqual(short.ends[0]?.reason, "length")
      const stop = texts.slice(2, 4).join("").trim()
      const stopped = yield* answer("Hello", { stop: [stop] })
      assert.strictEqual(stopped.text, text.slice(0, text.indexOf(stop)))
      assert.strictEqual(stopped.ends[0]?.stop, stop)
      const long = yield* answer("x".repeat(4 * 98))
      assert.strictEqual(long.texts.length, 2)
      assert.strictEqual(long.ends[0]?.reason, "length")
      const tooLong = yield* Effect.flip(answer("x".repeat(4 * 101)))
      assert.strictEqual(tooLong._tag, "ContextLengthExceeded")
    })
  )

  it.effect("writes a token after each interval, and stops when it is cancelled", () =>
    Effect.gen(function* () {
      const controller = new AbortController()
      const tokens = yield* engine.tokenize("Hello", "prompt")
      const pieces = yield* engine.generate([tokens], sampling, controller.signal)
      assert.strictEqual(engine.busy(), 1)
      const seen: Array<string> = []
      const running = yield* Effect.forkChild(
        Stream.runForEach(pieces, (piece) =>
          Effect.sync(() => seen.push(piece._tag === "Text" ? piece.text : piece.reason))
        )
      )
      yield* TestClock.adjust(intervalMs * 3)
      assert.strictEqual(seen.length, 3)
      controller.abort()
      yield* TestClock.adjust(intervalMs)
      yield* Fiber.join(running)
      assert.strictEqual(seen.at(-1), "cancelled")
      assert.strictEqual(seen.length, 4)
      assert.strictEqual(engine.busy(), 0)
    })
  )
})
