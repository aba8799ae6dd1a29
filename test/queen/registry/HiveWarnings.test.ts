import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import { HiveWarnings } from "../../../src/queen/registry/HiveWarnings.ts"

describe("HiveWarnings", () => {
  it.effect("show a warning for a time after it was last repeated, and log it once meanwhile", () => {
    const logged: Array<unknown> = []
    const logger = Logger.make(({ message }) => void logged.push(message))
    return Effect.gen(function* () {
      const warnings = new HiveWarnings(yield* Clock.Clock, 1_000)
      yield* warnings.warn("atlas", "two hives")
      yield* TestClock.adjust("600 millis")
      yield* warnings.warn("atlas", "two hives")
      assert.lengthOf(logged, 1)
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(warnings.current("atlas"), "two hives")
      assert.isUndefined(warnings.current("boreas"))
      yield* TestClock.adjust("1 millis")
      assert.isUndefined(warnings.current("atlas"))
      yield* warnings.warn("atlas", "two hives")
      yield* warnings.warn("atlas", "another")
      assert.lengthOf(logged, 3)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })
})
