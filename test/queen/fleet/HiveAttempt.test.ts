import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { JobCancelled, JobFailed } from "../../../src/job/errors.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import type { RemoteWork, RunningJob } from "../../../src/job/Submission.ts"
import { hiveGeneration } from "../../../src/operation/Routing.ts"
import { type AttemptRequest, HiveAttempt, isHiveError } from "../../../src/queen/fleet/HiveAttempt.ts"
import { ConnectionFailed, type ForwardError, HiveUnreachable } from "../../../src/queen/forward/errors.ts"
import type { ForwardJson } from "../../../src/queen/forward/Forwarded.ts"
import { forwardWith } from "../../../src/queen/forward/forwardOperation.ts"
import { HiveForwarder } from "../../../src/queen/forward/HiveForwarder.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { HiveGaveUp } from "../../../src/queen/scheduler/errors.ts"
import { recordedJob } from "../../support/fleetRuns.ts"

/** An attempt on the hive `atlas`, which a test can lose. `isWatched`: whether the attempt waits for that. */
const attemptOn = Effect.fnUntraced(function* (
  forwardJson: ForwardJson,
  changes: Partial<AttemptRequest> = {}
) {
  const { emit, job, log } = recordedJob()
  const watchers = new Set<(reason: string) => void>()
  const registry = Layer.mock(HiveRegistry)({
    markAlive: () => {},
    markUnreachable: () => {},
    markStopped: () => {},
    isLost: () => false,
    changes: () => 0,
    onLost: (_alias, call) => {
      watchers.add(call)
      return () => watchers.delete(call)
    }
  })
  const forwarder = Layer.succeed(
    HiveForwarder,
    HiveForwarder.of({ forward: forwardWith(forwardJson), forwardJson })
  )
  const { run } = yield* Effect.provide(
    HiveAttempt,
    Layer.provide(HiveAttempt.layerNoDeps, [forwarder, registry])
  )
  const attempt = run({
    operation: "infer",
    hiveId: "atlas",
    json: "{}",
    routing: hiveGeneration,
    number: 1,
    job,
    hasBegun: () => false,
    take: emit,
    ...changes
  })
  return {
    attempt,
    log,
    lose: (reason: string) => watchers.forEach((call) => call(reason)),
    isWatched: () => watchers.size > 0
  }
})

/** A job that notes its remote parts, which a cancel would stop. */
const recordingRemote = (remote: Array<RemoteWork>): RunningJob => {
  const { job } = recordedJob()
  return {
    ...job,
    runsAt: (work) => {
      remote.push(work)
      return job.runsAt(work)
    }
  }
}

const failingWith =
  (error: ForwardError): ForwardJson =>
  () =>
    Effect.fail(error)

const sending =
  (...events: ReadonlyArray<JobEvent>): ForwardJson =>
  (_request, emit) =>
    emit(events)

describe("isHiveError", () => {
  it("is true of errors that another hive may not have", () => {
    const hiveErrors = [
      new ConnectionFailed({ hive: "atlas", reason: "refused" }),
      new HiveUnreachable({ hive: "atlas", reason: "no answer" }),
      new HiveGaveUp({ hive: "atlas" })
    ]
    for (const error of hiveErrors) assert.isTrue(isHiveError(error), error._tag)
    assert.isFalse(isHiveError(new JobFailed({ code: "HiveNotFound", sentence: "no" })))
  })
})

describe("HiveAttempt", () => {
  it.effect("takes the hive's events with their ids first, and without ids from the second attempt on", () =>
    Effect.gen(function* () {
      const events = [new JobEvent("token", "{}", 7), new JobEvent("token", "{}", 8)]
      const idsOf = Effect.fnUntraced(function* (number: number) {
        const { attempt, log } = yield* attemptOn(sending(...events), { number })
        yield* attempt
        return log.map(({ id }) => id)
      })
      assert.deepStrictEqual(yield* idsOf(1), [7, 8])
      assert.deepStrictEqual(yield* idsOf(2), [1, 2])
    })
  )

  it.effect("fails as soon as the hive is lost, unless the answer has begun", () =>
    Effect.gen(function* () {
      let hasBegun = true
      const { attempt, isWatched, lose } = yield* attemptOn(() => Effect.never, { hasBegun: () => hasBegun })
      const fiber = yield* Effect.forkChild(Effect.flip(attempt), { startImmediately: true })
      assert.isTrue(isWatched())
      lose("no answer")
      assert.isUndefined(fiber.pollUnsafe())
      hasBegun = false
      lose("no answer")
      assert.deepStrictEqual(
        yield* Fiber.join(fiber),
        new HiveUnreachable({ hive: "atlas", reason: "no answer" })
      )
      assert.isFalse(isWatched())
    })
  )

  it.effect("fails with the hive's error, and no longer watches the hive", () =>
    Effect.gen(function* () {
      const error = new JobFailed({ code: "ModelNotFound", sentence: "no" })
      const { attempt, isWatched } = yield* attemptOn(failingWith(error))
      assert.deepStrictEqual(yield* Effect.flip(attempt), error)
      assert.isFalse(isWatched())
    })
  )

  it.effect("fails with HiveGaveUp if the hive cancelled the job by itself", () =>
    Effect.gen(function* () {
      const { attempt } = yield* attemptOn(failingWith(new JobCancelled({})))
      assert.deepStrictEqual(yield* Effect.flip(attempt), new HiveGaveUp({ hive: "atlas" }))
    })
  )

  it.effect("fails with JobCancelled if this queen cancelled the job, which stops it on the hive", () =>
    Effect.gen(function* () {
      let isStopped = false
      const stop = Effect.sync(() => {
        isStopped = true
        return true
      })
      const remote: Array<RemoteWork> = []
      const cancelled: ForwardJson = Effect.fnUntraced(function* ({ job }) {
        if (job !== undefined) yield* job.runsAt({ stop })
        for (const work of remote) assert.isTrue(yield* work.stop ?? Effect.succeed(false))
        return yield* new JobCancelled({ confirmed: true })
      }, Effect.scoped)
      const { attempt } = yield* attemptOn(cancelled, { job: recordingRemote(remote) })
      assert.deepStrictEqual(yield* Effect.flip(attempt), new JobCancelled({ confirmed: true }))
      assert.isTrue(isStopped)
    })
  )
})
