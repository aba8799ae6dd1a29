import { assert, describe, it } from "@effect/vitest"
import { answerHeaders } from "../../../src/gateway/endpoint/answerHeaders.ts"

describe("answerHeaders", () => {
  it("name only the job while no worker is assigned", () => {
    assert.deepStrictEqual(answerHeaders({ jobId: "job-1", placement: () => undefined }), {
      "cache-control": "no-cache",
      "x-rbee-job-id": "job-1"
    })
  })

  it("name the hive, the worker and the waiting times in whole milliseconds", () => {
    const placement = () => ({ hive: "atlas", worker: "tiny-1", queueMs: 3.4, loadMs: 1.6 })
    assert.deepStrictEqual(answerHeaders({ jobId: "job-1", placement }), {
      "cache-control": "no-cache",
      "x-rbee-job-id": "job-1",
      "x-rbee-hive": "atlas",
      "x-rbee-worker": "tiny-1",
      "x-rbee-queue-ms": "3",
      "x-rbee-load-ms": "2"
    })
  })
})
