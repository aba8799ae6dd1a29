import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { DownloadInterrupted, DownloadNotFound, RateLimited } from "../../../src/hive/download/errors.ts"
import { factsOf } from "../../../src/hive/download/RemoteSource.ts"
import { pauseAfter, withRetries } from "../../../src/hive/download/withRetries.ts"

const interrupted = new DownloadInterrupted({ url: "u", reason: "r" })

describe("withRetries", () => {
  it.effect("gives up after the configured number of consecutive failures", () =>
    Effect.gen(function* () {
      let attempts = 0
      const attempt = Effect.suspend(() => {
        attempts++
        return Effect.fail(interrupted)
      })
      const fiber = yield* Effect.forkChild(Effect.flip(withRetries(attempt, 3, () => 0)))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* Fiber.join(fiber), interrupted)
      assert.strictEqual(attempts, 4)
    })
  )

  it.effect("counts again from one after an attempt that received bytes", () =>
    Effect.gen(function* () {
      let attempts = 0
      const attempt = Effect.suspend(() =>
        ++attempts < 20 ? Effect.fail(interrupted) : Effect.succeed("done")
      )
      const fiber = yield* Effect.forkChild(withRetries(attempt, 1, () => attempts))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
    })
  )

  it.effect("does not repeat a permanent failure", () =>
    Effect.gen(function* () {
      const missing = new DownloadNotFound({ url: "u" })
      assert.strictEqual(yield* Effect.flip(withRetries(Effect.fail(missing), 3, () => 0)), missing)
    })
  )

  it("doubles its pauses up to ten seconds, and follows Retry-After up to a minute", () => {
    assert.deepStrictEqual(
      [1, 2, 3, 10].map((failures) => pauseAfter(interrupted, failures)),
      [200, 400, 800, 10_000]
    )
    const limited = (seconds: number | undefined) => pauseAfter(new RateLimited({ url: "u", seconds }), 1)
    assert.deepStrictEqual([limited(5), limited(900), limited(undefined)], [5_000, 60_000, 200])
  })
})

describe("the facts of a response", () => {
  it("are the total size, a strong etag, and whether ranges are supported", () => {
    assert.deepStrictEqual(
      factsOf({
        status: 206,
        headers: { "content-range": "bytes 0-0/70", "content-length": "1", etag: '"a"' }
      }),
      { size: 70, etag: '"a"', hasRanges: true }
    )
    assert.deepStrictEqual(factsOf({ status: 200, headers: { "content-length": "70", etag: 'W/"a"' } }), {
      size: 70,
      etag: null,
      hasRanges: false
    })
    assert.deepStrictEqual(factsOf({ status: 206, headers: { "content-range": "bytes 0-0/*" } }), {
      size: undefined,
      etag: null,
      hasRanges: false
    })
  })
})
