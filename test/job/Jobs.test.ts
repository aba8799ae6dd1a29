import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Jobs } from "../../src/job/Jobs.ts"
import { JobStore } from "../../src/job/JobStore.ts"
import { JobEvent, type LoggedEvent } from "../../src/job/log/JobEvent.ts"
import { LogFull } from "../../src/job/log/JobLog.ts"
import { JobLogs } from "../../src/job/log/JobLogs.ts"
import { MemoryLog } from "../../src/job/log/MemoryLog.ts"
import type { Submission } from "../../src/job/Submission.ts"
import { hiveAnswer, hiveCommand, hiveQuery, queenQuery } from "../../src/operation/Routing.ts"
import { Settings, type SettingValues } from "../../src/settings/Settings.ts"
import { allOf, Broken, eventsOf, submission, tokens, written, type StreamWork } from "../support/jobs.ts"

const settings = (limits: Partial<SettingValues["limits"]>) => Settings.layerDefaults({ limits })

const jobsWith = (limits: Partial<SettingValues["limits"]> = {}) =>
  Jobs.layer.pipe(Layer.provide(settings(limits)))

const submit = (work: StreamWork, more: Partial<Submission> = {}) =>
  Effect.map(
    Jobs.use((jobs) => jobs.submit(submission(work, more))),
    ({ job_id }) => job_id
  )

const stateOf = (id: string) =>
  Effect.map(
    Jobs.use((jobs) => jobs.get(id)),
    ({ state }) => state
  )

const cancel = (id: string) => Jobs.use((jobs) => jobs.cancel(id))

const kindsOf = (events: ReadonlyArray<LoggedEvent>) => events.map(({ kind }) => kind).join(" ")

const waiting = Stream.never

const failure = (error: LoggedEvent | undefined): unknown => JSON.parse(error?.json ?? "null")

describe("submitting", () => {
  it.effect("gives a hundred simultaneous submissions a hundred ids", () =>
    Effect.gen(function* () {
      const ids = yield* Effect.forEach(Array.from({ length: 100 }), () => submit(() => tokens("x")), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(ids).size, 100)
      for (const id of ids) assert.match(id, /^job-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
      assert.strictEqual((yield* Jobs.use((jobs) => jobs.list)).length, 100)
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect(
    "gives the same key the same job, also at the same moment and with a log that is slow to make",
    () =>
      Effect.gen(function* () {
        let started = 0
        const work: StreamWork = () =>
          Stream.sync(() => {
            started++
            return JobEvent.token("x")
          })
        const idempotency = { key: "k", body: "b" }
        const ids = yield* Effect.forEach(Array.from({ length: 50 }), () => submit(work, { idempotency }), {
          concurrency: "unbounded"
        })
        assert.strictEqual(new Set(ids).size, 1)
        yield* allOf(ids[0] ?? "")
        assert.strictEqual(yield* submit(work, { idempotency }), ids[0])
        assert.strictEqual(started, 1)
        assert.notStrictEqual(yield* submit(work, { idempotency: { key: "other", body: "b" } }), ids[0])
      }).pipe(
        Effect.provide(
          Jobs.layerNoDeps.pipe(
            Layer.provide(
              Layer.succeed(
                JobLogs,
                JobLogs.of({
                  make: (_id, limit) => Effect.as(Effect.yieldNow, new MemoryLog(limit))
                })
              )
            ),
            Layer.provide(JobStore.layerMemory),
            Layer.provide(settings({}))
          )
        )
      )
  )

  it.effect("refuses the same key with another body and names the job", () =>
    Effect.gen(function* () {
      const id = yield* submit(() => waiting, { idempotency: { key: "k", body: "one" } })
      const error = yield* Effect.flip(submit(() => waiting, { idempotency: { key: "k", body: "two" } }))
      assert.strictEqual(error._tag, "IdempotencyConflict")
      assert.include(error.message, id)
      assert.strictEqual((yield* Jobs.use((jobs) => jobs.list)).length, 1)
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("refuses what is beyond the queue, and takes again when there is room", () =>
    Effect.gen(function* () {
      const running = yield* submit(() => waiting)
      yield* written(running, 1)
      yield* Effect.yieldNow
      const queued = yield* submit(() => waiting)
      const error = yield* Effect.flip(submit(() => waiting))
      assert.strictEqual(error._tag, "TooManyJobs")
      yield* cancel(queued)
      assert.strictEqual(yield* stateOf(yield* submit(() => waiting)), "queued")
    }).pipe(Effect.provide(jobsWith({ jobsRunning: 1, jobsQueued: 1 })))
  )
})

describe("control operations", () => {
  it.effect("run at once however many generations run and wait, and have a bound of their own", () =>
    Effect.gen(function* () {
      const running = yield* submit(() => waiting)
      yield* written(running, 1)
      yield* Effect.yieldNow
      yield* submit(() => waiting)
      assert.strictEqual((yield* Effect.flip(submit(() => waiting)))._tag, "TooManyJobs")
      for (const routing of [queenQuery, hiveQuery, hiveCommand, hiveAnswer]) {
        const control = yield* submit(() => tokens("a"), { routing })
        yield* Stream.runDrain(eventsOf(control))
        assert.strictEqual(yield* stateOf(control), "completed")
      }
      const hanging = yield* submit(() => waiting, { routing: hiveCommand })
      const refused = yield* Effect.flip(submit(() => tokens("a"), { routing: queenQuery }))
      assert.strictEqual(refused._tag, "TooManyJobs")
      yield* cancel(hanging)
      yield* Stream.runDrain(eventsOf(yield* submit(() => tokens("a"), { routing: queenQuery })))
    }).pipe(Effect.provide(jobsWith({ jobsRunning: 1, jobsQueued: 1 })))
  )
})

describe("the work", () => {
  it.effect(
    "has the services of the daemon and the trace of the request, and no service of the request",
    () =>
      Effect.gen(function* () {
        class Asker extends Context.Service<Asker, string>()("rbee/test/job/Jobs.test/Asker") {}
        const seen = Effect.gen(function* () {
          const asker = Context.getOption(yield* Effect.context<never>(), Asker)
          const span = yield* Effect.currentParentSpan
          return JobEvent.token(`${Option.isSome(asker)} ${span._tag === "Span" ? span.name : ""}`)
        })
        const id = yield* submit(() => Stream.fromEffect(Effect.orDie(seen))).pipe(
          Effect.provideService(Asker, "a client"),
          Effect.withSpan("request")
        )
        const events = yield* allOf(id)
        assert.deepStrictEqual(events[1]?.json, JobEvent.token("false request").json)
      }).pipe(Effect.provide(jobsWith()))
  )
})

describe("the end", () => {
  it.effect("comes once, last, and without any time passing", () =>
    Effect.gen(function* () {
      const done = yield* allOf(yield* submit(() => tokens("a", "b")))
      assert.strictEqual(kindsOf(done), "narration token token done")
      assert.deepStrictEqual(
        done.map(({ id }) => id),
        [1, 2, 3, 4]
      )
      const failed = yield* allOf(
        yield* submit(() => Stream.concat(tokens("a"), Stream.fail(new Broken("no"))))
      )
      assert.strictEqual(kindsOf(failed), "narration token failed")
      const id = yield* submit(() => Stream.concat(tokens("a"), waiting))
      yield* written(id, 2)
      yield* cancel(id)
      assert.strictEqual(kindsOf(yield* allOf(id)), "narration token cancelled")
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("says how long the job waited and ran", () =>
    Effect.gen(function* () {
      const first = yield* submit(() => Stream.fromEffect(Effect.as(Effect.sleep(300), JobEvent.token("x"))))
      const second = yield* submit(() => Stream.fromEffect(Effect.as(Effect.sleep(500), JobEvent.token("x"))))
      yield* TestClock.adjust(300)
      yield* TestClock.adjust(500)
      assert.deepStrictEqual(failure((yield* allOf(first)).at(-1)), { queued_ms: 0, run_ms: 300 })
      assert.deepStrictEqual(failure((yield* allOf(second)).at(-1)), { queued_ms: 300, run_ms: 500 })
    }).pipe(Effect.provide(jobsWith({ jobsRunning: 1 })))
  )

  it.effect("of a failure has the original sentence and type, in the record too", () =>
    Effect.gen(function* () {
      const id = yield* submit(() => Stream.fail(new Broken("The disk is full")))
      const error = { code: "Broken", message: "The disk is full" }
      assert.deepStrictEqual(failure((yield* allOf(id)).at(-1)), { error })
      const record = yield* Jobs.use((jobs) => jobs.get(id))
      assert.deepStrictEqual([record.state, record.error], ["failed", error])
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("of a bug says that it is one and nothing of its inside", () =>
    Effect.gen(function* () {
      for (const work of [
        () => Stream.die(new TypeError("secret /inside")),
        () => {
          throw new TypeError("secret /inside")
        }
      ]) {
        const last = (yield* allOf(yield* submit(work))).at(-1)
        assert.strictEqual(last?.kind, "failed")
        assert.include(last?.json, "InternalError")
        assert.notInclude(last?.json, "secret")
      }
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("of work that was cancelled elsewhere is cancelled, not failed", () =>
    Effect.gen(function* () {
      const id = yield* submit(() => Stream.fail({ _tag: "JobCancelled", message: "cancelled at the hive" }))
      assert.strictEqual(kindsOf(yield* allOf(id)), "narration cancelled")
      assert.isUndefined((yield* Jobs.use((jobs) => jobs.get(id))).error)
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("tells whether the process that did the work confirmed its stop", () =>
    Effect.gen(function* () {
      for (const isConfirmed of [true, false]) {
        const id = yield* submit((job) =>
          Stream.unwrap(
            Effect.map(job.runsAt({}), ({ unconfirmed }) =>
              Stream.ensuring(
                waiting,
                Effect.sync(() => isConfirmed || unconfirmed())
              )
            )
          )
        )
        yield* written(id, 1)
        yield* Effect.yieldNow
        yield* cancel(id)
        assert.strictEqual((yield* allOf(id)).at(-1)?.json, `{"confirmed":${isConfirmed}}`)
      }
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("asks no process that the work has left", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const part = (name: string) => ({ stop: Effect.sync(() => asked.push(name) > 0) })
      const id = yield* submit((job) =>
        Stream.concat(
          Stream.unwrap(Effect.as(job.runsAt(part("first")), tokens("a"))),
          Stream.concat(tokens("b"), waiting)
        )
      )
      yield* written(id, 3)
      yield* cancel(id)
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("comes after everything that was produced before a timeout", () =>
    Effect.gen(function* () {
      const id = yield* submit(() =>
        Stream.concat(tokens("a", "b", "c"), waiting).pipe(
          Stream.timeoutOrElse({
            duration: Duration.seconds(5),
            orElse: () => Stream.fail(new Broken("too slow"))
          })
        )
      )
      yield* written(id, 4)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(kindsOf(yield* allOf(id)), "narration token token token failed")
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("comes after what the work still delivers when a cancel asks it to stop", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const id = yield* submit((job) =>
        Stream.unwrap(
          Effect.as(
            job.runsAt({ stop: Effect.as(Deferred.succeed(asked, undefined), true) }),
            Stream.concat(
              tokens("a"),
              Stream.unwrap(Effect.as(Deferred.await(asked), tokens("made before", "and this")))
            )
          )
        )
      )
      yield* written(id, 2)
      yield* cancel(id)
      assert.strictEqual(kindsOf(yield* allOf(id)), "narration token token token cancelled")
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("is a failure that says so when the log is full of what may not be dropped", () =>
    Effect.gen(function* () {
      let stopped = false
      const endless = Stream.fromIterable([JobEvent.token("x".repeat(1000))]).pipe(
        Stream.forever,
        Stream.ensuring(
          Effect.sync(() => {
            stopped = true
          })
        )
      )
      const events = yield* allOf(yield* submit(() => endless))
      const error = new LogFull({ limitBytes: 20_000 })
      assert.deepStrictEqual(failure(events.at(-1)), { error: { code: "LogFull", message: error.message } })
      assert.isAbove(events.filter(({ kind }) => kind === "token").length, 15)
      assert.isTrue(stopped)
    }).pipe(Effect.provide(jobsWith({ logBytes: 20_000 })))
  )
})

describe("cancelling", () => {
  it.effect("takes a queued job out of the queue, and its work never starts", () =>
    Effect.gen(function* () {
      let started = false
      const first = yield* submit(() => waiting)
      const second = yield* submit(() =>
        Stream.sync(() => {
          started = true
          return JobEvent.token("x")
        })
      )
      const third = yield* submit(() => tokens("x"))
      yield* written(second, 1)
      yield* cancel(second)
      assert.strictEqual(kindsOf(yield* allOf(second)), "narration cancelled")
      assert.deepStrictEqual(
        [yield* stateOf(first), yield* stateOf(second), yield* stateOf(third)],
        ["running", "cancelled", "queued"]
      )
      yield* cancel(first)
      assert.strictEqual(kindsOf(yield* allOf(third)), "narration token done")
      assert.isFalse(started)
    }).pipe(Effect.provide(jobsWith({ jobsRunning: 1 })))
  )

  it.effect("works in the same moment as the submission", () =>
    Effect.gen(function* () {
      const id = yield* submit(() => waiting)
      yield* cancel(id)
      assert.strictEqual(yield* stateOf(id), "cancelled")
      assert.strictEqual(kindsOf(yield* allOf(id)), "narration cancelled")
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("changes nothing for a job that has ended or is unknown, and says so", () =>
    Effect.gen(function* () {
      const id = yield* submit(() => tokens("x"))
      const events = yield* allOf(id)
      const record = yield* Jobs.use((jobs) => jobs.get(id))
      const ended = yield* Effect.flip(cancel(id))
      assert.strictEqual(ended._tag, "JobEnded")
      assert.include(ended.message, "completed")
      assert.deepStrictEqual(yield* allOf(id), events)
      assert.deepStrictEqual(yield* Jobs.use((jobs) => jobs.get(id)), record)
      assert.strictEqual((yield* Effect.flip(cancel("job-unknown")))._tag, "JobNotFound")
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("answers only when the work has stopped and its slot is free", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const id = yield* submit(() => Stream.ensuring(waiting, Deferred.await(gate)))
      const next = yield* submit(() => tokens("x"))
      yield* written(id, 1)
      const cancelling = yield* Effect.forkChild(cancel(id), { startImmediately: true })
      const again = yield* Effect.forkChild(cancel(id), { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(cancelling.pollUnsafe())
      assert.isUndefined(again.pollUnsafe())
      assert.deepStrictEqual([yield* stateOf(id), yield* stateOf(next)], ["running", "queued"])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(cancelling)
      yield* Fiber.join(again)
      assert.strictEqual(kindsOf(yield* allOf(id)), "narration cancelled")
      assert.strictEqual(kindsOf(yield* allOf(next)), "narration token done")
    }).pipe(Effect.provide(jobsWith({ jobsRunning: 1 })))
  )

  it.effect("is carried through when the one who asked for it goes away", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const answered = yield* Deferred.make<void>()
      const id = yield* submit((job) =>
        Stream.unwrap(
          Effect.as(
            job.runsAt({
              stop: Effect.as(
                Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(answered)),
                true
              )
            }),
            Stream.concat(tokens("a"), Stream.unwrap(Effect.as(Deferred.await(answered), tokens("b"))))
          )
        )
      )
      yield* written(id, 2)
      const cancelling = yield* Effect.forkChild(cancel(id))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(cancelling)
      yield* TestClock.adjust("45 seconds")
      assert.strictEqual(kindsOf(yield* allOf(id)), "narration token cancelled")
      yield* Deferred.succeed(answered, undefined)
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("stops work that does not answer the request to stop", () =>
    Effect.gen(function* () {
      const id = yield* submit((job) => Stream.unwrap(Effect.as(job.runsAt({ stop: Effect.never }), waiting)))
      yield* written(id, 1)
      yield* Effect.yieldNow
      const cancelling = yield* Effect.forkChild(cancel(id))
      yield* TestClock.adjust("45 seconds")
      yield* Fiber.join(cancelling)
      assert.strictEqual(yield* stateOf(id), "cancelled")
    }).pipe(Effect.provide(jobsWith()))
  )

  it.effect("of everything ends each job with one end event", () =>
    Effect.gen(function* () {
      const running = yield* submit(() => Stream.concat(tokens("a"), waiting))
      const queued = yield* submit(() => waiting)
      yield* written(running, 2)
      yield* Jobs.use((jobs) => jobs.stopAll)
      assert.strictEqual(kindsOf(yield* allOf(running)), "narration token cancelled")
      assert.strictEqual(kindsOf(yield* allOf(queued)), "narration cancelled")
    }).pipe(Effect.provide(jobsWith({ jobsRunning: 1 })))
  )
})

describe("following", () => {
  it.effect(
    "gives two followers the same events in the same order, and does not wait for one that stopped",
    () =>
      Effect.gen(function* () {
        const texts = Array.from({ length: 20_000 }, (_, i) => `token ${i}`)
        const id = yield* submit(() => Stream.rechunk(tokens(...texts), 100))
        yield* written(id, 5)
        const { log } = yield* Jobs.use((jobs) => jobs.follow(id))
        yield* log.read({ after: 0, reportedDropped: 0 })
        const [one, two] = yield* Effect.all([allOf(id), allOf(id)], { concurrency: 2 })
        assert.deepStrictEqual(one, two)
        assert.strictEqual(one.length, 20_002)
      }).pipe(Effect.scoped, Effect.provide(jobsWith()))
  )

  it.effect("gives one who comes after the end everything, and a notice of what was dropped", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 1000 }, (_, i) => JobEvent.narration("a", "b", `line ${i}`))
      const id = yield* submit(() => Stream.concat(Stream.fromIterable(lines), tokens("kept")))
      yield* allOf(id)
      const late = yield* allOf(id)
      assert.match(late[0]?.json ?? "", /\d+ earlier lines of narration were dropped/)
      assert.include(late.at(-2)?.json, "kept")
      const dropped = Number(/(\d+) earlier/.exec(late[0]?.json ?? "")?.[1])
      // The opening, the lines, the token and the end, less what was dropped, plus the notice of it.
      assert.strictEqual(late.length, 1003 - dropped + 1)
    }).pipe(Effect.provide(jobsWith({ logBytes: 20_000 })))
  )

  it.effect("from every event on gives what comes after it, whenever one comes", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const id = yield* submit(() =>
        Stream.concat(
          tokens(..."abcdefgh"),
          Stream.unwrap(Effect.as(Deferred.await(gate), tokens(..."ijklmnop")))
        )
      )
      yield* written(id, 9)
      const early = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 19 }, (_, n) => n),
          (n) => allOf(id, n),
          {
            concurrency: "unbounded"
          }
        ),
        { startImmediately: true }
      )
      yield* Deferred.succeed(gate, undefined)
      const all = yield* allOf(id)
      assert.strictEqual(all.length, 18)
      const whole = all.map((event) => event.id)
      for (const [n, events] of (yield* Fiber.join(early)).entries()) {
        assert.deepStrictEqual(
          events.map((event) => event.id),
          whole.slice(n)
        )
        assert.deepStrictEqual(yield* allOf(id, n), all.slice(n))
      }
    }).pipe(Effect.provide(jobsWith()))
  )

  const grace = { graceAfterLastFollower: Duration.seconds(10) }

  it.effect("no more cancels an answer after its grace, and only then", () =>
    Effect.gen(function* () {
      const id = yield* submit(() => Stream.concat(tokens("a"), waiting), { routing: hiveAnswer })
      yield* written(id, 2)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* stateOf(id), "running")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* stateOf(id), "cancelled")
    }).pipe(Effect.provide(jobsWith(grace)))
  )

  it.effect("no more cancels an answer after the grace of its submission, where that has one", () =>
    Effect.gen(function* () {
      const id = yield* submit(() => Stream.concat(tokens("a"), waiting), {
        routing: hiveAnswer,
        grace: Duration.seconds(60)
      })
      yield* written(id, 2)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* stateOf(id), "running")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* stateOf(id), "cancelled")
    }).pipe(Effect.provide(jobsWith(grace)))
  )

  it.effect("again within the grace keeps the answer going", () =>
    Effect.gen(function* () {
      const id = yield* submit(() => Stream.concat(tokens("a"), waiting), { routing: hiveAnswer })
      yield* written(id, 2)
      yield* TestClock.adjust("9 seconds")
      const scope = yield* Scope.make()
      yield* Jobs.use((jobs) => jobs.follow(id)).pipe(Scope.provide(scope))
      yield* written(id, 2)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* stateOf(id), "running")
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* stateOf(id), "running")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* stateOf(id), "cancelled")
    }).pipe(Effect.provide(jobsWith(grace)))
  )

  it.effect("no more changes nothing for work that goes on without, nor for what was never followed", () =>
    Effect.gen(function* () {
      const work = () =>
        Stream.concat(tokens("a"), Stream.fromEffect(Effect.as(Effect.sleep("1 hour"), JobEvent.token("b"))))
      const goesOn = yield* submit(work)
      yield* written(goesOn, 2)
      const never = yield* submit(work, { routing: hiveAnswer })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(kindsOf(yield* allOf(goesOn)), "narration token token done")
      assert.strictEqual(kindsOf(yield* allOf(never)), "narration token token done")
    }).pipe(Effect.provide(jobsWith(grace)))
  )
})

describe("keeping", () => {
  it.effect("drops the oldest ended jobs beyond the count, and their keys", () =>
    Effect.gen(function* () {
      const idempotency = { key: "k", body: "b" }
      const first = yield* submit(() => tokens("x"), { idempotency })
      yield* allOf(first)
      for (let i = 0; i < 3; i++) yield* allOf(yield* submit(() => tokens("x")))
      assert.strictEqual((yield* Effect.flip(stateOf(first)))._tag, "JobNotFound")
      assert.notStrictEqual(yield* submit(() => tokens("x"), { idempotency }), first)
    }).pipe(Effect.provide(jobsWith({ jobsKept: 3 })))
  )

  it.effect("drops by age and by bytes, never what runs or is followed", () =>
    Effect.gen(function* () {
      const running = yield* submit(() => waiting)
      const followed = yield* submit(() => tokens("x"))
      yield* allOf(followed)
      const old = yield* submit(() => tokens("x"))
      yield* allOf(old)
      yield* Jobs.use((jobs) => jobs.follow(followed))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* stateOf(old), "completed")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Effect.flip(stateOf(old)))._tag, "JobNotFound")
      assert.deepStrictEqual([yield* stateOf(running), yield* stateOf(followed)], ["running", "completed"])
      const big = yield* submit(() => tokens("x".repeat(9000)))
      yield* allOf(big)
      yield* allOf(yield* submit(() => tokens("x".repeat(9000))))
      yield* Effect.yieldNow
      assert.strictEqual((yield* Effect.flip(stateOf(big)))._tag, "JobNotFound")
    }).pipe(
      Effect.scoped,
      Effect.provide(jobsWith({ jobsKeptFor: Duration.minutes(1), jobsKeptBytes: 10_000 }))
    )
  )
})

describe("the end of the daemon", () => {
  it.effect("stops what runs, waits until it has stopped, and lets nothing begin", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(jobsWith(), scope)
      const jobs = Context.get(context, Jobs)
      const said: Array<string> = []
      const work: StreamWork = () =>
        Stream.fromEffectDrain(
          Effect.sync(() => said.push("begun")).pipe(
            Effect.andThen(Effect.never),
            Effect.onInterrupt(() =>
              Effect.andThen(
                Effect.sleep("1 second"),
                Effect.sync(() => said.push("stopped"))
              )
            )
          )
        )
      const { job_id } = yield* jobs.submit(submission(work))
      yield* Effect.repeat(Effect.yieldNow, { until: () => said.length === 1 })
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("900 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(said, ["begun", "stopped"])
      assert.notInclude(["queued", "running"], (yield* jobs.get(job_id)).state)

      const late = yield* jobs.submit(submission(work))
      assert.notInclude(["queued", "running"], (yield* jobs.get(late.job_id)).state)
      assert.deepStrictEqual(said, ["begun", "stopped"])
    })
  )
})
