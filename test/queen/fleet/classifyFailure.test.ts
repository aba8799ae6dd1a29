import { assert, describe, it } from "@effect/vitest"
import { JobFailed } from "../../../src/job/errors.ts"
import { classifyFailure } from "../../../src/queen/fleet/classifyFailure.ts"
import { ConnectionFailed, HiveTimeout, InvalidResponse } from "../../../src/queen/forward/errors.ts"

const reported = (code: string, details: { readonly [field: string]: string | number } = {}) =>
  new JobFailed({ code, sentence: "it did not work", details })

const refused = (status: number) => reported("WorkerRefused", { worker: "w", status })

describe("classifyFailure", () => {
  it("is a fault if a worker or hive exited, does not answer, or violated the protocol", () => {
    const hive = "atlas"
    for (const error of [
      reported("WorkerFailed"),
      reported("WorkerUnhealthy"),
      new ConnectionFailed({ hive, reason: "refused" }),
      new HiveTimeout({ hive, limit: "idle", seconds: 60 }),
      new InvalidResponse({ hive, detail: "sent garbage" })
    ]) {
      assert.strictEqual(classifyFailure(error), "fault", error.message)
    }
  })

  it("depends on the status of an engine's error response", () => {
    const expected = new Map([
      [200, "engine"],
      [400, "client"],
      [404, "client"],
      [422, "client"],
      [429, "busy"],
      [500, "engine"],
      [501, "client"],
      [502, "engine"],
      [503, "busy"],
      [504, "engine"]
    ])
    for (const [status, outcome] of expected) {
      assert.strictEqual(classifyFailure(refused(status)), outcome, String(status))
    }
  })

  it("counts a request that was too slow on a healthy worker, and an unknown error, as the engine's", () => {
    for (const code of ["WorkerSilent", "InternalError", "AnythingElse"]) {
      assert.strictEqual(classifyFailure(reported(code)), "engine", code)
    }
  })

  it("distinguishes errors of the request itself from a worker or hive without room", () => {
    for (const code of ["ContextLengthExceeded", "EngineRefusesModel", "ModelNotFound", "WrongModel"]) {
      assert.strictEqual(classifyFailure(reported(code)), "client", code)
    }
    for (const code of ["ModelDoesNotFit", "TooManyJobs", "WorkerNotFound", "WorkerNotReady"]) {
      assert.strictEqual(classifyFailure(reported(code)), "busy", code)
    }
  })
})
