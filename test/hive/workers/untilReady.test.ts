import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { untilReady } from "../../../src/hive/workers/untilReady.ts"

const worker = { port: 1, model: "m", engine: undefined, log: Effect.succeed([]), loading: () => Effect.void }
const clientOf = (isReady: Effect.Effect<boolean>, models: ReadonlyArray<string>) => ({
  isReady: () => isReady,
  models: () => Effect.succeed(models)
})

describe("untilReady", () => {
  it.effect("returns when the worker answers and serves its model", () =>
    Effect.gen(function* () {
      let polls = 0
      const ready = Effect.sync(() => ++polls === 3)
      const waiting = yield* Effect.forkChild(
        untilReady(clientOf(ready, ["m"]), worker, Duration.seconds(30))
      )
      yield* TestClock.adjust("1 second")
      assert.isUndefined(yield* Fiber.join(waiting))
      assert.strictEqual(polls, 3)
    })
  )

  it.effect("returns the reason if the port serves another model", () =>
    Effect.gen(function* () {
      const outcome = (models: ReadonlyArray<string>) =>
        untilReady(clientOf(Effect.succeed(true), models), worker, Duration.seconds(30))
      assert.strictEqual(yield* outcome(["a", "b"]), "port 1 serves a, b instead")
      assert.strictEqual(yield* outcome([]), "port 1 serves no model instead")
    })
  )

  it.effect("returns the reason after the time limit", () =>
    Effect.gen(function* () {
      const never = clientOf(Effect.succeed(false), [])
      const waiting = yield* Effect.forkChild(untilReady(never, worker, Duration.seconds(30)))
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* Fiber.join(waiting), "it was not ready after 30 s (timeouts.worker_start)")
    })
  )
})
