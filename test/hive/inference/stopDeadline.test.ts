import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { stopDeadline } from "../../../src/hive/inference/stopDeadline.ts"

/** Runs a deadline in virtual time; gives its reason and after how many seconds it came, at most 60. */
const run = Effect.fnUntraced(function* (isHealthy: (seconds: number) => boolean) {
  const start = yield* Clock.currentTimeMillis
  const since = Effect.map(Clock.currentTimeMillis, (now) => (now - start) / 1000)
  let checks = 0
  const check = Effect.suspend(() => {
    checks++
    return Effect.flatMap(since, (seconds) => Effect.as(Effect.sleep("10 millis"), isHealthy(seconds)))
  })
  const fiber = yield* Effect.forkChild(
    Effect.flatMap(stopDeadline(check), (reason) => Effect.map(since, (seconds) => ({ reason, seconds })))
  )
  yield* TestClock.adjust("60 seconds")
  const { reason, seconds } = yield* Fiber.join(fiber)
  return { reason, seconds, checks }
})

describe("stopDeadline", () => {
  it.effect("comes after five seconds for a worker that does not answer its health check", () =>
    Effect.gen(function* () {
      const { reason, seconds } = yield* run(() => false)
      assert.strictEqual(seconds, 5)
      assert.include(reason, "has not answered its health check for 5 s")
    })
  )

  it.effect("comes after thirty seconds for a healthy worker, which may be in the middle of a batch", () =>
    Effect.gen(function* () {
      const { checks, reason, seconds } = yield* run(() => true)
      assert.strictEqual(seconds, 30)
      assert.strictEqual(checks, 29)
      assert.include(reason, "did not confirm within 30 s")
    })
  )

  it.effect("comes five seconds after the last answer of a worker that stops to answer", () =>
    Effect.gen(function* () {
      const { reason, seconds } = yield* run((now) => now < 12)
      assert.isAtLeast(seconds, 16)
      assert.isAtMost(seconds, 17)
      assert.include(reason, "has not answered its health check for 5 s")
    })
  )

  it.effect("does not come for a worker that misses single checks on a busy machine", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* run((now) => now % 4 < 1)).seconds, 30)
    })
  )

  it.effect("checks the health of no worker that confirms at once", () =>
    Effect.gen(function* () {
      let checks = 0
      const check = Effect.sync(() => {
        checks++
        return true
      })
      const fiber = yield* Effect.forkChild(stopDeadline(check))
      yield* TestClock.adjust("900 millis")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(checks, 0)
    })
  )
})
