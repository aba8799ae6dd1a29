import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { JobCancelled } from "../../../src/job/errors.ts"
import type { InterruptedJob } from "../../../src/job/JobRecovery.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import type { RunningJob } from "../../../src/job/Submission.ts"
import { HiveNotFound } from "../../../src/queen/forward/errors.ts"
import type { Forwarded, ForwardJson } from "../../../src/queen/forward/Forwarded.ts"
import type { HiveForwarder } from "../../../src/queen/forward/HiveForwarder.ts"
import { resumeHiveJob } from "../../../src/queen/forward/resumeHiveJob.ts"

const interrupted: InterruptedJob = {
  facts: {
    id: "job-1",
    operation: "infer",
    state: "running",
    createdAt: 0,
    plan: {
      repeatable: false,
      whenAbandoned: "cancel",
      occupiesWorker: true,
      graceMillis: 0,
      wasFollowed: true
    }
  },
  hasAnswered: true,
  hiveJob: { hiveId: "atlas", jobId: "job-9", after: 7 }
}

const job: RunningJob = { id: "job-1", runsAt: () => Effect.die("not used"), readEvents: Effect.succeed([]) }

const forwarderOf = (forwardJson: ForwardJson): HiveForwarder["Service"] => ({
  forward: () => {
    throw new Error("not used")
  },
  forwardJson
})

const run = Effect.fnUntraced(function* (forwardJson: ForwardJson) {
  const emitted: Array<JobEvent> = []
  const work = resumeHiveJob(forwarderOf(forwardJson), interrupted)
  assert.isDefined(work)
  const exit = yield* Effect.exit(
    work?.(job, (events) => Effect.sync(() => void emitted.push(...events))) ?? Effect.void
  )
  return { emitted, exit }
})

describe("resumeHiveJob", () => {
  it.effect("reads the hive's job after the last event that the log has, and submits nothing", () =>
    Effect.gen(function* () {
      let seen: Forwarded | undefined
      const { emitted } = yield* run((request, emit) => {
        seen = request
        return emit([JobEvent.token("x")])
      })
      assert.deepStrictEqual(seen?.resumed, { jobId: "job-9", after: 7 })
      assert.strictEqual(seen?.hiveId, "atlas")
      assert.deepStrictEqual(emitted, [JobEvent.token("x")])
    })
  )

  it.effect("says that the hive cancelled the job while the queen was away", () =>
    Effect.gen(function* () {
      const { emitted, exit } = yield* run(() => Effect.fail(new JobCancelled({})))
      assert.strictEqual(exit._tag, "Failure")
      assert.include(emitted[0]?.json, "away for longer than limits.grace_restart")
      const late = yield* run((_request, emit) =>
        Effect.andThen(emit([JobEvent.token("x")]), Effect.fail(new JobCancelled({})))
      )
      assert.deepStrictEqual(late.emitted, [JobEvent.token("x")])
    })
  )

  it.effect("waits for the heartbeat of a hive that is not in hives.conf", () =>
    Effect.gen(function* () {
      let attempts = 0
      const running = yield* Effect.forkChild(
        run(() =>
          Effect.suspend(() =>
            ++attempts < 4 ? Effect.fail(new HiveNotFound({ hive: "atlas", known: [] })) : Effect.void
          )
        ),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual(attempts, 3)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(attempts, 4)
      assert.isDefined(running.pollUnsafe())
    })
  )

  it("has no work for a job that no hive, or more than one, works on", () => {
    const forwarder = forwarderOf(() => Effect.void)
    assert.isUndefined(resumeHiveJob(forwarder, { ...interrupted, hiveJob: undefined }))
  })
})
