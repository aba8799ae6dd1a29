import { assert, describe, it } from "@effect/vitest"
import { decideFailover, type FailedAttempt, failoverSentence } from "../../../src/queen/fleet/failover.ts"

const decide = (changes: Partial<FailedAttempt>) =>
  decideFailover({
    outcome: "fault",
    number: 1,
    maxAttempts: 3,
    engineFailures: 0,
    hasBegun: false,
    isStreamed: true,
    delivered: { isComplete: false, canContinue: true },
    ...changes
  })

const fixed = { isComplete: false, canContinue: false }
const complete = { isComplete: true, canContinue: true }

describe("decideFailover", () => {
  it("retries what has not begun, whatever the kind of request", () => {
    for (const isStreamed of [true, false]) {
      assert.strictEqual(decide({ isStreamed, delivered: fixed }), "retry")
    }
  })

  it("continues a delivered text where that is possible", () => {
    for (const isStreamed of [true, false])
      assert.strictEqual(decide({ isStreamed, hasBegun: true }), "continue")
  })

  it("restarts an answer that cannot be continued only if its client has not received any of it", () => {
    assert.strictEqual(decide({ hasBegun: true, delivered: fixed, isStreamed: false }), "restart")
    assert.strictEqual(decide({ hasBegun: true, delivered: fixed, isStreamed: true }), "fail")
  })

  it("finishes an answer that lacks nothing but its end, also after the last attempt", () => {
    assert.strictEqual(decide({ hasBegun: true, delivered: complete, number: 3 }), "finish")
    assert.strictEqual(decide({ hasBegun: false, delivered: complete }), "retry")
  })

  it("fails after the last attempt", () => {
    assert.strictEqual(decide({ number: 2 }), "retry")
    assert.strictEqual(decide({ number: 3 }), "fail")
    assert.strictEqual(decide({ number: 3, hasBegun: true }), "fail")
  })

  it("fails after the second failure of a healthy engine, but not of a worker", () => {
    assert.strictEqual(decide({ outcome: "engine", engineFailures: 1 }), "retry")
    assert.strictEqual(decide({ outcome: "engine", engineFailures: 2, number: 2 }), "fail")
    assert.strictEqual(decide({ outcome: "busy", engineFailures: 1, number: 2 }), "retry")
  })
})

describe("failoverSentence", () => {
  it("names the worker and the reason, and how much a continuing worker has before it", () => {
    const sentences = (["retry", "continue", "restart"] as const).map((failover) =>
      failoverSentence(failover, "tiny-1", "it exited", 7)
    )
    assert.deepStrictEqual(sentences, [
      "Worker 'tiny-1' failed before the first token (it exited); trying another worker",
      "Worker 'tiny-1' failed mid-answer (it exited); another worker continues after 7 characters",
      "Worker 'tiny-1' failed mid-answer (it exited); another worker answers the request again"
    ])
  })
})
