import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { sinceTime } from "../../src/cli/since.ts"

const timeOf = (since: string) => sinceTime(Option.some(since))

describe("--since", () => {
  it.effect("takes an age or a time", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 11, 8))
      assert.isUndefined(yield* sinceTime(Option.none()))
      assert.strictEqual(yield* timeOf("7d"), "2026-12-01T00:00:00.000Z")
      assert.strictEqual(yield* timeOf("90m"), "2026-12-07T22:30:00.000Z")
      assert.strictEqual(yield* timeOf("2026-12-01T08:30:00+01:00"), "2026-12-01T07:30:00.000Z")
    })
  )

  it.effect("refuses other text, and says what it takes", () =>
    Effect.gen(function* () {
      for (const text of ["", "7", "d", "7w", "-1d", "yesterday", "99999999d"]) {
        const { message } = yield* Effect.flip(timeOf(text))
        assert.include(message, "an age such as 30m, 12h or 7d")
      }
    })
  )
})
