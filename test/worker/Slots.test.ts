import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Slots } from "../../src/worker/Slots.ts"

const open = new AbortController().signal
const nothingShared = () => 0
const take = (slots: Slots<string>, prefixOf: (sequence: string) => number = nothingShared, signal = open) =>
  Effect.promise(() => slots.acquire(prefixOf, signal))

describe("Slots", () => {
  it.effect("selects the idle slot with the longest shared prefix, else the longest idle one", () =>
    Effect.gen(function* () {
      const slots = new Slots(["a", "b", "c"], 10)
      const first = yield* take(slots)
      assert.strictEqual(first?.sequence, "a")
      const shared = yield* take(slots, (sequence) => (sequence === "c" ? 5 : 0))
      assert.strictEqual(shared?.sequence, "c")
      if (first !== undefined) slots.release(first)
      assert.strictEqual((yield* take(slots))?.sequence, "b")
      assert.strictEqual((yield* take(slots))?.sequence, "a")
      assert.strictEqual(slots.busy, 3)
    })
  )

  it.effect("serves waiting requests in order, and skips cancelled ones", () =>
    Effect.gen(function* () {
      const slots = new Slots(["a"], 2)
      const held = yield* take(slots)
      const order: Array<string> = []
      const leaving = new AbortController()
      const left = slots.acquire(nothingShared, leaving.signal)
      const waiting = slots.acquire(nothingShared, open).then((slot) => {
        order.push("second")
        return slot
      })
      assert.isFalse(slots.hasRoomFor(1))
      leaving.abort()
      assert.isUndefined(yield* Effect.promise(() => left))
      assert.strictEqual(slots.waiting, 1)
      assert.isTrue(slots.hasRoomFor(1))
      assert.isFalse(slots.hasRoomFor(2))
      if (held !== undefined) slots.release(held)
      assert.strictEqual((yield* Effect.promise(() => waiting))?.sequence, "a")
      assert.deepStrictEqual(order, ["second"])
    })
  )

  it.effect("does not assign a slot to a request that was cancelled before", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* take(new Slots(["a"], 1), nothingShared, AbortSignal.abort()))
    })
  )
})
