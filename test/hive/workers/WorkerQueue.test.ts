import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { type QueueTicket, WorkerQueue } from "../../../src/hive/workers/WorkerQueue.ts"

/** Waits in a line until it is first, and then until the gate is open. */
const passing = (lines: WorkerQueue, name: string, gate: Deferred.Deferred<void>, passed: Array<string>) =>
  lines.stand("line", (place: QueueTicket) =>
    Effect.gen(function* () {
      while (!(place.isFirst() && Deferred.isDoneUnsafe(gate))) yield* place.change
      passed.push(`${name} before ${lines.lengthOf("line") - 1}`)
    })
  )

describe("a line", () => {
  it.effect("lets one after the other through, in the order in which they came", () =>
    Effect.gen(function* () {
      const lines = new WorkerQueue()
      const gate = yield* Deferred.make<void>()
      const passed: Array<string> = []
      const fibers = yield* Effect.forEach(["a", "b", "c", "d"], (name) =>
        Effect.forkChild(passing(lines, name, gate, passed))
      )
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([passed, lines.lengthOf("line")], [[], 4])
      // Who leaves holds up nobody, be it the first or another one.
      const [first, , third] = fibers
      if (first !== undefined) yield* Fiber.interrupt(first)
      if (third !== undefined) yield* Fiber.interrupt(third)
      yield* Deferred.succeed(gate, undefined)
      yield* lines.wake
      yield* TestClock.adjust(0)
      assert.deepStrictEqual([passed, lines.lengthOf("line")], [["b before 1", "d before 0"], 0])
    })
  )

  it.effect(
    "has its first one look again after a moment, also when nobody says that anything has changed",
    () =>
      Effect.gen(function* () {
        const lines = new WorkerQueue()
        const gate = yield* Deferred.make<void>()
        const passed: Array<string> = []
        const fiber = yield* Effect.forkChild(passing(lines, "a", gate, passed))
        yield* TestClock.adjust(0)
        yield* Deferred.succeed(gate, undefined)
        yield* TestClock.adjust("249 millis")
        assert.deepStrictEqual(passed, [])
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(passed, ["a before 0"])
      })
  )
})
