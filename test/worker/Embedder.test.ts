import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue } from "effect"
import type { Token } from "node-llama-cpp"
import { Embedder } from "../../src/worker/Embedder.ts"

const noTokens: ReadonlyArray<Token> = []

/** A model whose texts take as long as the test wants. */
const setUp = Effect.gen(function* () {
  const begun = yield* Queue.unbounded<Deferred.Deferred<void>>()
  const embedder = new Embedder(
    {
      createEmbeddingContext: async () => ({
        getEmbeddingFor: () =>
          Effect.runPromise(
            Effect.gen(function* () {
              const done = yield* Deferred.make<void>()
              yield* Queue.offer(begun, done)
              yield* Deferred.await(done)
              return { vector: [3, 4] }
            })
          ),
        dispose: async () => {}
      })
    },
    512,
    1
  )
  return { begun, embedder }
})

describe("Embedder", () => {
  it.live("acknowledges a cancel when the current text is done, and starts no other", () =>
    Effect.gen(function* () {
      const { begun, embedder } = yield* setUp
      const request = new AbortController()
      const running = yield* Effect.forkChild(
        Effect.exit(embedder.embed([noTokens, noTokens], undefined, request.signal))
      )
      const first = yield* Queue.take(begun)
      request.abort()
      const later = yield* Effect.forkChild(
        embedder.embed([noTokens], undefined, new AbortController().signal)
      )
      yield* Effect.yieldNow
      assert.isUndefined(running.pollUnsafe())
      yield* Deferred.succeed(first, undefined)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(running)))
      const next = yield* Queue.take(begun)
      yield* Deferred.succeed(next, undefined)
      assert.deepStrictEqual(yield* Fiber.join(later), [[0.6, 0.8]])
      assert.strictEqual(yield* Queue.size(begun), 0)
    })
  )

  it.live("delays an interrupt until the current text is done", () =>
    Effect.gen(function* () {
      const { begun, embedder } = yield* setUp
      const running = yield* Effect.forkChild(
        embedder.embed([noTokens, noTokens], undefined, new AbortController().signal)
      )
      const first = yield* Queue.take(begun)
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(running), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(interrupting.pollUnsafe())
      yield* Deferred.succeed(first, undefined)
      yield* Fiber.join(interrupting)
      assert.strictEqual(yield* Queue.size(begun), 0)
    })
  )

  it.live("cancels a waiting request at once", () =>
    Effect.gen(function* () {
      const { begun, embedder } = yield* setUp
      const signal = new AbortController().signal
      const running = yield* Effect.forkChild(embedder.embed([noTokens], undefined, signal))
      const first = yield* Queue.take(begun)
      const request = new AbortController()
      const waiting = yield* Effect.forkChild(
        Effect.exit(embedder.embed([noTokens], undefined, request.signal)),
        { startImmediately: true }
      )
      request.abort()
      assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
      yield* Deferred.succeed(first, undefined)
      assert.deepStrictEqual(yield* Fiber.join(running), [[0.6, 0.8]])
      assert.strictEqual(yield* Queue.size(begun), 0)
    })
  )
})
