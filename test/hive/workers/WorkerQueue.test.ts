import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { type QueueTicket, WorkerQueue } from "../../../src/hive/workers/WorkerQueue.ts"

/** Waits in a queue until it is first, and then until the gate is open. */
const passing = (queue: WorkerQueue, name: string, gate: Deferred.Deferred<void>, passed: Array<string>) =>
  queue.wait("model", (ticket: QueueTicket) =>
    Effect.gen(function* () {
      while (!(ticket.isFirst() && Deferred.isDoneUnsafe(gate))) yield* ticket.change
      passed.push(`${name} before ${queue.lengthOf("model") - 1}`)
    })
  )

describe("WorkerQueue", () => {
  it.effect("serves requests in the order of their arrival", () =>
    Effect.gen(function* () {
      const queue = new WorkerQueue()
      const gate = yield* Deferred.make<void>()
      const passed: Array<string> = []
      const fibers = yield* Effect.forEach(["a", "b", "c", "d"], (name) =>
        Effect.forkChild(passing(queue, name, gate, passed))
      )
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([passed, queue.lengthOf("model")], [[], 4])
      // A request that leaves delays no other, wherever it was.
      const [first, , third] = fibers
      if (first !== undefined) yield* Fiber.interrupt(first)
      if (third !== undefined) yield* Fiber.interrupt(third)
      yield* Deferred.succeed(gate, undefined)
      yield* queue.wake
      yield* TestClock.adjust(0)
      assert.deepStrictEqual([passed, queue.lengthOf("model")], [["b before 1", "d before 0"], 0])
    })
  )

  it.effect("lets its first request check again after 250 ms without a wake-up", () =>
    Effect.gen(function* () {
      const queue = new WorkerQueue()
      const gate = yield* Deferred.make<void>()
      const passed: Array<string> = []
      const fiber = yield* Effect.forkChild(passing(queue, "a", gate, passed))
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
