import { assert, describe, it } from "@effect/vitest"
import { endFailure } from "../../../src/gateway/endpoint/endFailure.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"

const failureAfter = ({ json, kind }: JobEvent) => endFailure({ id: 1, kind, json })

describe("endFailure", () => {
  it("is undefined for a job that is done", () => {
    assert.isUndefined(failureAfter(JobEvent.done({ queued_ms: 1, run_ms: 2 })))
  })

  it("keeps the code, the message and the details of a failed job", () => {
    assert.deepStrictEqual(
      failureAfter(
        JobEvent.failed({ code: "QueueFull", message: "too many", details: { retry_after: 7, engine: null } })
      ),
      { status: 429, code: "QueueFull", message: "too many", retryAfter: 2 }
    )
    assert.deepStrictEqual(
      failureAfter(JobEvent.failed({ code: "QueueFull", message: "too many", details: { retry_after: 7 } })),
      { status: 429, code: "QueueFull", message: "too many", retryAfter: 7 }
    )
  })

  it("is JobCancelled with status 499 for a cancelled job", () => {
    for (const confirmed of [true, false]) {
      assert.deepStrictEqual(failureAfter(JobEvent.cancelled(confirmed)), {
        status: 499,
        code: "JobCancelled",
        message: "The request was cancelled by another client",
        retryAfter: undefined
      })
    }
  })

  it("is JobFailed with status 500 for an end that cannot be read", () => {
    const failure = endFailure({ id: 1, kind: "failed", json: "{" })
    assert.deepInclude(failure, { status: 500, code: "JobFailed" })
  })
})
