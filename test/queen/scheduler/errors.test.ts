import { assert, describe, it } from "@effect/vitest"
import { CapabilityMissing } from "../../../src/operation/Capabilities.ts"
import {
  AnswerLost,
  LoadFailed,
  NoOtherWorker,
  NotPlaceable,
  QueueFull,
  QueueTimeout,
  toError
} from "../../../src/queen/scheduler/errors.ts"

describe("toError", () => {
  it("gives each refusal its error", () => {
    const model = "m"
    const cases = [
      [{ _tag: "QueueFull", limit: 4 }, new QueueFull({ model, limit: 4 })],
      [
        { _tag: "QueueTimeout", waitedMs: 7, why: "all are busy" },
        new QueueTimeout({ model, waitedMs: 7, why: "all are busy" })
      ],
      [{ _tag: "NoOtherWorker" }, new NoOtherWorker({ model })],
      [{ _tag: "Impossible", reason: "no file" }, new NotPlaceable({ model, reason: "no file" })],
      [{ _tag: "Incapable", capability: "tools" }, new CapabilityMissing({ model, capability: "tools" })],
      [{ _tag: "LoadFailed", reason: "it crashed" }, new LoadFailed({ model, reason: "it crashed" })]
    ] as const
    for (const [refusal, error] of cases) assert.deepStrictEqual(toError(model, refusal), error)
  })

  it("rounds the time until a retry up to seconds, one at least", () => {
    const secondsOf = (retryAfterMs: number) => {
      const error = toError("m", { _tag: "LoadFailed", reason: "it crashed", retryAfterMs })
      return error instanceof LoadFailed ? error.failure.details : undefined
    }
    assert.deepStrictEqual([0, 1_000, 1_001].map(secondsOf), [
      { retry_after: 1 },
      { retry_after: 1 },
      { retry_after: 2 }
    ])
  })
})

describe("a failure in the job's log", () => {
  it("names the worker that was lost, and no secret of a load", () => {
    assert.deepStrictEqual(new AnswerLost({ worker: "w1", reason: "it exited" }).failure, {
      code: "AnswerLost",
      message: "Response interrupted: it exited (worker 'w1'); retry",
      details: { worker: "w1" }
    })
    const { failure } = new LoadFailed({ model: "m", reason: "Authorization: Bearer abcdefghijklmnop" })
    assert.notInclude(failure.message, "abcdefghijklmnop")
    assert.notProperty(failure, "details")
  })
})
