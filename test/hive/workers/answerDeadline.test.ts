import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { answerDeadline, firstTokenTimeout } from "../../../src/hive/workers/answerDeadline.ts"
import { Settings } from "../../../src/settings/Settings.ts"

const limits = {
  firstToken: Duration.seconds(10),
  firstTokenPer1000: Duration.seconds(4),
  betweenTokens: Duration.seconds(5)
}

describe("the deadline of an answer", () => {
  it("of the first token grows with the prompt", () => {
    assert.strictEqual(firstTokenTimeout(limits, 0), 10_000)
    assert.strictEqual(firstTokenTimeout(limits, 500), 12_000)
  })

  it.effect("is that of the first token, then that between two tokens", () =>
    Effect.gen(function* () {
      const { timeouts } = yield* Settings
      let lastAt: number | undefined
      const run = () =>
        Effect.forkChild(Effect.flip(answerDeadline("w", { ...timeouts, ...limits }, 500, () => lastAt)))
      const early = yield* run()
      yield* TestClock.adjust("12 seconds")
      assert.deepInclude(yield* Fiber.join(early), { limit: "first_token", seconds: 12 })

      const later = yield* run()
      yield* TestClock.adjust("3 seconds")
      lastAt = 15_000
      yield* TestClock.adjust("4 seconds")
      lastAt = 19_000
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(later.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Fiber.join(later), { limit: "between_tokens", seconds: 5 })
    }).pipe(Effect.provide(Settings.layerDefaults({})))
  )
})
