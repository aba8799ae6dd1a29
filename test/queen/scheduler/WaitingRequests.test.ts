import { assert, describe, it } from "@effect/vitest"
import type { QueuedRequest } from "../../../src/queen/scheduler/messages.ts"
import { WaitingRequests } from "../../../src/queen/scheduler/WaitingRequests.ts"

const starvationBound = 30_000

const request = (id: string, changes: Partial<QueuedRequest> = {}): QueuedRequest => ({
  id,
  model: "m",
  tokens: 100,
  prefixes: [],
  key: "",
  priority: 0,
  askedAt: 0,
  deadline: 60_000,
  ...changes
})

const waitingWith = (...requests: ReadonlyArray<QueuedRequest>) => {
  const waiting = new WaitingRequests(starvationBound)
  for (const one of requests) waiting.add(one)
  return waiting
}

const order = (waiting: WaitingRequests, now = 1) => waiting.inOrder(now).map(({ id }) => id)

describe("WaitingRequests", () => {
  it("are served in the order of their arrival", () => {
    const waiting = waitingWith(request("b", { askedAt: 1 }), request("a", { askedAt: 0 }))
    assert.deepStrictEqual(order(waiting), ["a", "b"])
  })

  it("are served by priority first", () => {
    assert.deepStrictEqual(order(waitingWith(request("low"), request("high", { priority: 1 }))), [
      "high",
      "low"
    ])
  })

  it("are served by key: the key with the fewest granted tokens first", () => {
    const first = request("a1", { key: "a" })
    const waiting = waitingWith(first, request("a2", { key: "a" }), request("b1", { key: "b", askedAt: 1 }))
    waiting.grant(first)
    assert.deepStrictEqual(order(waiting), ["b1", "a2"])
    waiting.resetShares()
    assert.deepStrictEqual(order(waiting), ["a2", "b1"])
  })

  it("give a new key no credit for the time before it came", () => {
    const [a, b] = [request("a", { key: "a" }), request("b", { key: "b" })]
    const waiting = waitingWith(a, b)
    waiting.grant(a)
    waiting.grant(b)
    waiting.add(request("a2", { key: "a" }))
    waiting.add(request("c", { key: "c", askedAt: 1 }))
    assert.deepStrictEqual(order(waiting), ["a2", "c"])
  })

  it("are served before all others once they starve, the oldest first", () => {
    const waiting = waitingWith(
      request("old", { priority: -1, askedAt: 5 }),
      request("older", { priority: -2, askedAt: 4 }),
      request("urgent", { priority: 9, askedAt: 6 })
    )
    assert.deepStrictEqual(order(waiting, starvationBound + 3), ["urgent", "old", "older"])
    assert.deepStrictEqual(order(waiting, starvationBound + 5), ["older", "old", "urgent"])
  })

  it("no longer wait when they were removed or granted a worker", () => {
    const waiting = waitingWith(request("a"), request("b"))
    waiting.grant(request("a"))
    assert.deepStrictEqual([waiting.has("a"), waiting.has("b"), waiting.size], [false, true, 1])
    assert.deepStrictEqual([waiting.remove("b"), waiting.remove("b"), waiting.size], [true, false, 0])
  })
})
