import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { JobFailed } from "../../../src/job/errors.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { hiveDownload, hiveGeneration, hiveSpawn, type Routing } from "../../../src/operation/Routing.ts"
import { OperationRun } from "../../../src/queen/fleet/OperationRun.ts"
import { ConnectionFailed, HiveUnreachable } from "../../../src/queen/forward/errors.ts"
import { recordedJob } from "../../support/fleetRuns.ts"

const start = (routing: Routing) => {
  const recorded = recordedJob()
  const request = { name: "infer", hiveId: "auto", json: "{}", fields: {} }
  return { ...recorded, run: new OperationRun(request, routing, recorded.job, recorded.emit) }
}

const refused = new ConnectionFailed({ hive: "atlas", reason: "refused" })
const reset = new ConnectionFailed({ hive: "atlas", reason: "reset" })
const lost = new HiveUnreachable({ hive: "atlas", reason: "no answer" })
const failed = new JobFailed({ code: "ModelNotFound", sentence: "no" })

describe("OperationRun", () => {
  it.effect("begins with the first event that is not narration", () =>
    Effect.gen(function* () {
      const { log, run } = start(hiveGeneration)
      yield* run.relay([JobEvent.narration("a", "b", "c")])
      assert.isFalse(run.hasBegun)
      yield* run.relay([JobEvent.narration("a", "b", "d"), JobEvent.token("x")])
      yield* run.relay([JobEvent.narration("a", "b", "e")])
      assert.isTrue(run.hasBegun)
      assert.deepStrictEqual(
        log.map(({ kind }) => kind),
        ["narration", "narration", "token", "narration"]
      )
    })
  )

  it("retries what a hive cannot have received, and otherwise only what may run twice", () => {
    const twice = [hiveGeneration, hiveDownload]
    for (const routing of twice) {
      const { run } = start(routing)
      assert.deepStrictEqual(
        [refused, reset, lost, failed].map((error) => run.mayRetry(error)),
        [true, true, true, false]
      )
      assert.isTrue(run.canMove)
    }
    const { run } = start(hiveSpawn)
    assert.deepStrictEqual(
      [refused, reset, lost, failed].map((error) => run.mayRetry(error)),
      [true, false, false, false]
    )
    assert.isFalse(run.canMove)
  })

  it.effect("neither retries nor moves what has begun", () =>
    Effect.gen(function* () {
      const { run } = start(hiveGeneration)
      yield* run.relay([JobEvent.token("x")])
      assert.deepStrictEqual([run.mayRetry(refused), run.canMove], [false, false])
    })
  )

  it.effect("remembers the hives and workers to avoid, and narrates as the scheduler", () =>
    Effect.gen(function* () {
      const { log, narrated, run } = start(hiveGeneration)
      run.avoid("atlas", undefined)
      run.avoid("boreas", "boreas/w1")
      assert.deepStrictEqual([...run.avoidedHives], ["atlas", "boreas"])
      assert.deepStrictEqual(run.avoidedWorkers, ["boreas/w1"])
      yield* run.narrate("retry", "trying another hive")
      assert.deepStrictEqual(narrated(), ["retry: trying another hive"])
      assert.include(log[0]?.json, '"actor":"qn-sched"')
      assert.include(log[0]?.json, '"job_id":"job-1"')
    })
  )
})
