import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  type PeerError,
  PeerHungUp,
  PeerRefused,
  PeerUnreachable
} from "../../../src/job/client/clientErrors.ts"
import type { FollowOptions } from "../../../src/job/client/followJob.ts"
import { JobsClient, type StartedJob } from "../../../src/job/client/JobsClient.ts"
import type { Peer } from "../../../src/job/client/Peer.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import type { RemoteWork, RunningJob } from "../../../src/job/Submission.ts"
import { hiveAnswer, hiveCommand } from "../../../src/operation/Routing.ts"
import { ForwardAttempt } from "../../../src/queen/forward/ForwardAttempt.ts"
import type { Forwarded } from "../../../src/queen/forward/Forwarded.ts"
import { HiveDirectory } from "../../../src/queen/forward/HiveDirectory.ts"
import { HiveJobs } from "../../../src/queen/forward/HiveJobs.ts"
import { LostStreams } from "../../../src/queen/forward/LostStreams.ts"
import { Settings } from "../../../src/settings/Settings.ts"

const url = "http://atlas:8081"
const broken = new PeerUnreachable({ url, reason: "reset" })
const done = JobEvent.done({ queued_ms: 0, run_ms: 1 })

const request: Forwarded = { operation: "infer", hiveId: "atlas", json: "{}", routing: hiveAnswer }

interface Situation {
  readonly request?: Partial<Forwarded>
  readonly start?: JobsClient["Service"]["start"]
  readonly cancel?: Effect.Effect<void, PeerError>
  readonly follow?: <E>(options: FollowOptions<E>) => Effect.Effect<JobEvent, PeerError | E>
}

/** An attempt on the hive `atlas`, which notes what its client and directory are asked. */
const attemptOn = Effect.fnUntraced(function* ({
  cancel = Effect.void,
  follow,
  request: changes = {},
  start
}: Situation) {
  const notes: Array<string> = []
  const following = yield* Deferred.make<void>()
  const unused = Effect.die("not part of an attempt")
  const client = JobsClient.of({
    submit: () => unused,
    events: () => Stream.die("not part of an attempt"),
    connect: () => unused,
    start:
      start ?? (() => Effect.succeed({ jobId: "job-7", events: () => Stream.empty, leave: Effect.void })),
    follow: (_, __, options) =>
      Effect.andThen(Deferred.succeed(following, undefined), follow?.(options) ?? Effect.succeed(done))
  })
  const daemons = {
    cancel: (_: Peer, jobId: string) =>
      Effect.andThen(
        Effect.sync(() => notes.push(`cancel ${jobId}`)),
        cancel
      )
  }
  const directory = HiveDirectory.of({
    find: () => Effect.succeed({ url }),
    isLost: () => false,
    markAlive: () => void notes.push("alive"),
    markUnreachable: (hive, reason) => void notes.push(`${hive} unreachable: ${reason}`)
  })
  const clock = yield* Clock.Clock
  const { timeouts } = yield* Settings
  const services = {
    client,
    clock,
    directory,
    jobs: new HiveJobs(client, daemons, clock),
    lostStreams: new LostStreams(),
    timeouts
  }
  const attempt = new ForwardAttempt(services, { ...request, ...changes })
  return { attempt, notes, following, run: ForwardAttempt.run(attempt, () => Effect.void) }
}, Effect.provide(Settings.layerDefaults()))

/** Follows a job whose connection breaks and cannot be resumed. */
const breaking = <E>({ onLost }: FollowOptions<E>) =>
  Effect.andThen(onLost(broken), Effect.fail(new PeerHungUp({ url })))

describe("a hive's job, when its attempt is left", () => {
  it.effect("is not cancelled if it has ended", () =>
    Effect.gen(function* () {
      const { notes, run } = yield* attemptOn({})
      yield* run
      assert.deepStrictEqual(notes, [])
    })
  )

  it.effect("is not cancelled if it has failed", () =>
    Effect.gen(function* () {
      const failed = JobEvent.failed({ code: "ModelNotFound", message: "No such model" })
      const { notes, run } = yield* attemptOn({ follow: () => Effect.succeed(failed) })
      assert.strictEqual((yield* Effect.flip(run)).message, "No such model")
      assert.deepStrictEqual(notes, [])
    })
  )

  const interrupted = Effect.fnUntraced(function* (situation: Situation) {
    const { following, notes, run } = yield* attemptOn({ follow: () => Effect.never, ...situation })
    const fiber = yield* Effect.forkChild(run)
    yield* Deferred.await(following)
    yield* Fiber.interrupt(fiber)
    return notes
  })

  it.effect("is cancelled", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* interrupted({}), ["cancel job-7"])
    })
  )

  it.effect("continues if the caller leaves it running", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* interrupted({ request: { isLeftRunning: () => true } }), [])
    })
  )

  it.effect("continues if the queen's job leaves it running", () =>
    Effect.gen(function* () {
      const job: RunningJob = {
        id: "job-1",
        readEvents: Effect.succeed([]),
        runsAt: () => Effect.succeed({ isLeftRunning: () => true, unconfirmed: () => {} })
      }
      assert.deepStrictEqual(yield* interrupted({ request: { job } }), [])
    })
  )

  it.effect("is cancelled after a broken connection if it is an answer", () =>
    Effect.gen(function* () {
      const { notes, run } = yield* attemptOn({ follow: breaking })
      assert.strictEqual((yield* Effect.flip(run))._tag, "InvalidResponse")
      assert.deepStrictEqual(notes, ["cancel job-7"])
    })
  )

  it.effect("continues after a broken connection if others need it", () =>
    Effect.gen(function* () {
      const { notes, run } = yield* attemptOn({ follow: breaking, request: { routing: hiveCommand } })
      assert.strictEqual((yield* Effect.flip(run))._tag, "InvalidResponse")
      assert.deepStrictEqual(notes, [])
    })
  )

  it.effect("is cancelled when the hive sends no event in time", () =>
    Effect.gen(function* () {
      const { following, notes, run } = yield* attemptOn({ follow: () => Effect.never })
      const fiber = yield* Effect.forkChild(Effect.flip(run))
      yield* Deferred.await(following)
      yield* TestClock.adjust(Duration.seconds(30))
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.message, "Hive 'atlas' sent nothing for 30 s (timeouts.first_event)")
      assert.deepStrictEqual(notes, ["cancel job-7"])
    })
  )
})

describe("a queen's job", () => {
  const registered = Effect.fnUntraced(function* (situation: Situation) {
    const remotes: Array<RemoteWork> = []
    let unconfirmed = 0
    const job: RunningJob = {
      id: "job-1",
      readEvents: Effect.succeed([]),
      runsAt: (remote) => {
        remotes.push(remote)
        return Effect.succeed({ isLeftRunning: () => false, unconfirmed: () => void unconfirmed++ })
      }
    }
    const made = yield* attemptOn({ follow: () => Effect.never, request: { job }, ...situation })
    const fiber = yield* Effect.forkChild(made.run)
    yield* Deferred.await(made.following)
    const [remote] = remotes
    const isConfirmed = yield* remote?.stop ?? Effect.die("a hive's job can be stopped")
    yield* Fiber.interrupt(fiber)
    return { hiveJob: remote?.hiveJob, isConfirmed, unconfirmed }
  })

  it.effect("knows the hive's job, and stops it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* registered({}), {
        hiveJob: { hiveId: "atlas", jobId: "job-7" },
        isConfirmed: true,
        unconfirmed: 0
      })
    })
  )

  it.effect("is told when the hive does not confirm the stop", () =>
    Effect.gen(function* () {
      const { isConfirmed, unconfirmed } = yield* registered({ cancel: Effect.fail(broken) })
      assert.isFalse(isConfirmed)
      assert.strictEqual(unconfirmed, 1)
    })
  )
})

describe("a queen's job that is interrupted", () => {
  const left = Effect.fnUntraced(function* (cancel: Effect.Effect<void, PeerError>) {
    let unconfirmed = 0
    const job: RunningJob = {
      id: "job-1",
      readEvents: Effect.succeed([]),
      runsAt: () => Effect.succeed({ isLeftRunning: () => false, unconfirmed: () => void unconfirmed++ })
    }
    const { following, run } = yield* attemptOn({ cancel, follow: () => Effect.never, request: { job } })
    const fiber = yield* Effect.forkChild(run)
    yield* Deferred.await(following)
    const leaving = yield* Effect.forkChild(Fiber.interrupt(fiber))
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.join(leaving)
    return unconfirmed
  })

  it.effect("is told when the hive does not confirm that its job has stopped", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* left(Effect.void), 0)
      assert.strictEqual(
        yield* left(Effect.fail(new PeerRefused({ url, status: 409, detail: "it has ended" }))),
        0
      )
      assert.strictEqual(yield* left(Effect.fail(broken)), 1)
      assert.strictEqual(yield* left(Effect.never), 1)
    })
  )
})

describe("an attempt that is left before the hive has answered its submission", () => {
  const answers: Readonly<Record<string, readonly [Effect.Effect<StartedJob, PeerError>, number]>> = {
    "after the connection broke": [Effect.fail(broken), 1],
    "after the hive did not answer": [Effect.never, 1],
    "after the hive refused the connection": [
      Effect.fail(new PeerUnreachable({ url, reason: "refused" })),
      0
    ],
    "after the hive refused the request": [
      Effect.fail(new PeerRefused({ url, status: 503, detail: "The queue is full" })),
      0
    ],
    "after the hive answered and stopped the job": [
      Effect.succeed({ jobId: "job-7", events: () => Stream.empty, leave: Effect.void }),
      0
    ]
  }

  for (const [when, [answer, unconfirmed]] of Object.entries(answers)) {
    it.effect(`says whether the hive may have a job: ${when}`, () =>
      Effect.gen(function* () {
        let count = 0
        const job: RunningJob = {
          id: "job-1",
          readEvents: Effect.succeed([]),
          runsAt: () => Effect.succeed({ isLeftRunning: () => false, unconfirmed: () => void count++ })
        }
        const submitted = yield* Deferred.make<void>()
        const { run } = yield* attemptOn({
          request: { job },
          start: () =>
            Effect.andThen(Deferred.succeed(submitted, undefined), Effect.delay(answer, "1 second"))
        })
        const fiber = yield* Effect.forkChild(run)
        yield* Deferred.await(submitted)
        const leaving = yield* Effect.forkChild(Fiber.interrupt(fiber))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(leaving)
        assert.strictEqual(count, unconfirmed)
      })
    )
  }
})

describe("a failed attempt", () => {
  const refusing = (reason: PeerUnreachable["reason"]) => () =>
    Effect.fail(new PeerUnreachable({ url, reason }))

  it.effect("is worth a repetition only if the connection broke", () =>
    Effect.gen(function* () {
      for (const [reason, isWorthIt] of [
        ["reset", true],
        ["refused", false],
        ["timeout", false]
      ] as const) {
        const { attempt, run } = yield* attemptOn({ start: refusing(reason) })
        assert.strictEqual(attempt.canRepeatAfter(yield* Effect.flip(run)), isWorthIt, reason)
      }
    })
  )

  it.effect("is not worth a repetition after an event", () =>
    Effect.gen(function* () {
      const { attempt, run } = yield* attemptOn({
        follow: ({ take }) => Effect.andThen(take([JobEvent.token("a")]), Effect.fail(broken))
      })
      const error = yield* Effect.flip(run)
      assert.strictEqual(error.message, "Failed to connect to hive: connection reset (hive 'atlas')")
      assert.isFalse(attempt.canRepeatAfter(error))
    })
  )

  it.effect("reports a hive that refuses connections, but not a broken connection", () =>
    Effect.gen(function* () {
      const refused = yield* attemptOn({ start: refusing("refused") })
      yield* Effect.flip(refused.run)
      assert.deepStrictEqual(refused.notes, ["atlas unreachable: connection refused"])
      const reset = yield* attemptOn({ start: refusing("reset") })
      yield* Effect.flip(reset.run)
      assert.deepStrictEqual(reset.notes, [])
    })
  )

  it.effect("notes that the hive lives with every byte", () =>
    Effect.gen(function* () {
      const { notes, run } = yield* attemptOn({
        follow: ({ onBytes }) =>
          Effect.sync(() => {
            onBytes?.()
            onBytes?.()
            return done
          })
      })
      yield* run
      assert.deepStrictEqual(notes, ["alive", "alive"])
    })
  )
})
