import * as fs from "node:fs"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, FileSystem, Layer, type Scope, Stream } from "effect"
import { durableJobs } from "../../../src/job/durable/DurableJobs.ts"
import type { Resume } from "../../../src/job/JobRecovery.ts"
import { Jobs } from "../../../src/job/Jobs.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { streamWork, type Submission } from "../../../src/job/Submission.ts"
import { hiveAnswer, hiveCommand, queenQuery } from "../../../src/operation/Routing.ts"
import { Settings, type SettingChanges } from "../../../src/settings/Settings.ts"
import { allOf, submission, tokens, written, type StreamWork } from "../../support/jobs.ts"
import { fillDisk, smallDisk } from "../../support/tmpfs.ts"
import { until } from "../../support/until.ts"

const noWork: Resume = () => Effect.succeed(undefined)

/** Jobs with their store in the folder, until the scope closes. */
const jobsIn = (folder: string, changes: SettingChanges = {}) =>
  Layer.build(
    Layer.fresh(
      Jobs.layerNoDeps.pipe(
        Layer.provide(durableJobs(Effect.succeed(path.join(folder, "queen")))),
        Layer.provide([Settings.layerDefaults(changes), NodeServices.layer])
      )
    )
  )

const temporaryFolder = Effect.provide(
  FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped({ prefix: "rbee-store-" })),
  NodeServices.layer
)

/** The files as they are now: what a process that is killed now leaves behind. */
const crashed = (folder: string) =>
  Effect.map(temporaryFolder, (copy) => {
    fs.cpSync(folder, copy, { recursive: true })
    return copy
  })

const submit = (work: StreamWork, more: Partial<Submission> = {}) =>
  Effect.map(
    Jobs.use((jobs) => jobs.submit(submission(work, more))),
    ({ job_id }) => job_id
  )

const recordOf = (id: string) => Jobs.use((jobs) => jobs.get(id))

/** Runs the effect with the jobs of the folder, which are not stopped before the scope closes. */
const using = Effect.fnUntraced(function* <A, E>(
  folder: string,
  effect: Effect.Effect<A, E, Jobs | Scope.Scope>,
  changes?: SettingChanges
) {
  const context = yield* jobsIn(folder, changes)
  return yield* Effect.provideContext(effect, context)
})

/** The same, with the jobs of an earlier process that have no work failing. */
const restarted = <A, E>(
  folder: string,
  effect: Effect.Effect<A, E, Jobs>,
  changes?: SettingChanges,
  resume = noWork
) =>
  using(
    folder,
    Effect.andThen(
      Jobs.use((jobs) => jobs.recover(resume)),
      effect
    ),
    changes
  )

const untilStored = (folder: string) =>
  until(
    Effect.sync(() => fs.readdirSync(path.join(folder, "queen.events"))),
    (names) => names.some((name) => name.endsWith(".archive"))
  )

describe("after a crash", () => {
  it.live("an ended job has its record and its events, from every event on", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const before = yield* using(
        folder,
        Effect.gen(function* () {
          const id = yield* submit(() => tokens("a", "ä", "🐝"))
          return { id, events: yield* allOf(id), record: yield* recordOf(id) }
        })
      )
      // At once from the journal, and then from SQLite and the archive.
      const early = yield* crashed(folder)
      yield* untilStored(folder)
      for (const copy of [early, yield* crashed(folder)]) {
        yield* restarted(
          copy,
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* recordOf(before.id), before.record)
            for (let after = 0; after <= before.events.length; after++) {
              assert.deepStrictEqual(yield* allOf(before.id, after), before.events.slice(after))
            }
            assert.deepStrictEqual(yield* Jobs.use((jobs) => jobs.list), [before.record])
          })
        )
      }
    }).pipe(Effect.scoped)
  )

  it.live("an idempotency key gives the same job, and its work does not run again", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      let runs = 0
      const work: StreamWork = () =>
        Stream.sync(() => {
          runs++
          return JobEvent.token("x")
        })
      const idempotency = { key: "k", body: "b" }
      const ended = yield* using(folder, Effect.tap(submit(work, { idempotency }), allOf))
      const early = yield* crashed(folder)
      yield* untilStored(folder)
      for (const copy of [early, yield* crashed(folder)]) {
        yield* restarted(
          copy,
          Effect.gen(function* () {
            assert.strictEqual(yield* submit(work, { idempotency }), ended)
            const conflict = yield* Effect.flip(submit(work, { idempotency: { key: "k", body: "c" } }))
            assert.strictEqual(conflict._tag, "IdempotencyConflict")
          })
        )
      }
      assert.strictEqual(runs, 1)
    }).pipe(Effect.scoped)
  )

  it.live("a job that was running keeps its events and fails with a sentence that says what to do", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const ids = yield* using(
        folder,
        Effect.gen(function* () {
          const work: StreamWork = () => Stream.concat(tokens("a", "b"), Stream.never)
          const answer = yield* submit(work, { routing: hiveAnswer, idempotency: { key: "k", body: "b" } })
          const command = yield* submit(work, { routing: hiveCommand })
          yield* written(answer, 3)
          yield* written(command, 3)
          return { answer, command }
        })
      )
      yield* restarted(
        yield* crashed(folder),
        Effect.gen(function* () {
          const events = yield* allOf(ids.answer)
          assert.deepStrictEqual(
            events.map(({ id, kind }) => [id, kind]),
            [
              [1, "narration"],
              [2, "token"],
              [3, "token"],
              [4, "failed"]
            ]
          )
          const { error, state } = yield* recordOf(ids.answer)
          assert.deepStrictEqual([state, error?.code], ["failed", "Interrupted"])
          assert.include(error?.message, "; submit it again")
          yield* allOf(ids.command)
          assert.include((yield* recordOf(ids.command)).error?.message, "check what it has done before")
          const again = yield* submit(() => tokens("x"), { idempotency: { key: "k", body: "b" } })
          assert.strictEqual(again, ids.answer)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("a job continues with the work that is found for it, as the same job", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const id = yield* using(
        folder,
        Effect.tap(
          submit(() => Stream.concat(tokens("a"), Stream.never), {
            routing: queenQuery,
            body: "the request"
          }),
          (id) => written(id, 2)
        )
      )
      yield* restarted(
        yield* crashed(folder),
        Effect.gen(function* () {
          const events = yield* allOf(id)
          assert.deepStrictEqual(
            events.map(({ id, json, kind }) => [id, kind === "token" ? json : kind]),
            [
              [1, "narration"],
              [2, JobEvent.token("a").json],
              [3, JobEvent.token("b").json],
              [4, "done"]
            ]
          )
        }),
        {},
        ({ facts, hasAnswered, hiveJob }) => {
          assert.isUndefined(hiveJob)
          assert.deepStrictEqual([facts.id, facts.plan?.body, hasAnswered], [id, "the request", true])
          return Effect.succeed(streamWork(() => tokens("b")))
        }
      )
    }).pipe(Effect.scoped)
  )

  it.live("a continued answer that its followers left behind is cancelled after the grace period", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const work: StreamWork = () => Stream.concat(tokens("a"), Stream.never)
      const short = { graceRestart: Duration.millis(50), graceAfterLastFollower: Duration.millis(50) }
      const ids = yield* using(
        folder,
        Effect.gen(function* () {
          const followed = yield* submit(work, { routing: hiveAnswer })
          const unread = yield* submit(work, { routing: hiveAnswer })
          // Followed to its killed end: without a follower it would be cancelled before.
          const { log } = yield* Jobs.use((jobs) => jobs.follow(followed))
          yield* until(
            Effect.sync(() => log.lastId()),
            (last) => last === 2
          )
          return { followed, unread }
        }),
        { limits: short }
      )
      yield* restarted(
        yield* crashed(folder),
        Effect.gen(function* () {
          yield* until(recordOf(ids.followed), ({ state }) => state === "cancelled")
          assert.strictEqual((yield* recordOf(ids.unread)).state, "running")
        }),
        { limits: short },
        () => Effect.succeed(streamWork(work))
      )
    }).pipe(Effect.scoped)
  )

  it.live("during the restart after another one, no event is lost or repeated", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const id = yield* using(
        folder,
        Effect.tap(
          submit(() => Stream.concat(tokens("a", "b", "c"), Stream.never)),
          (id) => written(id, 4)
        )
      )
      const second = yield* crashed(folder)
      // The restarted process is killed as well, when it has written the job to a journal file of its own.
      const third = yield* using(second, crashed(second))
      const events = yield* restarted(third, allOf(id))
      assert.deepStrictEqual(
        events.map(({ id }) => id),
        [1, 2, 3, 4, 5]
      )
    }).pipe(Effect.scoped)
  )
})

describe("the store", () => {
  it.live("drops the oldest jobs beyond the count, but a job with a key keeps its record and its end", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const changes = { limits: { jobsKept: 3 } }
      const ids = yield* Effect.scoped(
        using(
          folder,
          Effect.gen(function* () {
            const withKey = yield* submit(() => tokens("x"), { idempotency: { key: "k", body: "b" } })
            yield* allOf(withKey)
            const others = yield* Effect.forEach(Array.from({ length: 5 }), () =>
              Effect.tap(
                submit(() => tokens("x")),
                allOf
              )
            )
            return [withKey, ...others]
          }),
          changes
        )
      )
      yield* restarted(
        folder,
        Effect.gen(function* () {
          const [withKey = "", dropped = "", ...rest] = ids
          const listed = (yield* Jobs.use((jobs) => jobs.list)).map(({ job_id }) => job_id)
          assert.deepStrictEqual(listed, [...rest.slice(1).reverse(), withKey])
          assert.strictEqual((yield* Effect.flip(recordOf(dropped)))._tag, "JobNotFound")
          assert.deepStrictEqual(
            (yield* allOf(withKey)).map(({ kind }) => kind),
            ["done"]
          )
          const again = yield* submit(() => tokens("x"), { idempotency: { key: "k", body: "b" } })
          assert.strictEqual(again, withKey)
        }),
        changes
      )
    }).pipe(Effect.scoped)
  )

  it.live("drops idempotency keys by their age, with the records that were kept for them", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const key = { idempotency: { key: "k", body: "b" } }
      const first = yield* Effect.scoped(
        using(
          folder,
          Effect.tap(
            submit(() => tokens("x"), key),
            allOf
          )
        )
      )
      yield* restarted(
        folder,
        Effect.gen(function* () {
          assert.strictEqual((yield* Effect.flip(recordOf(first)))._tag, "JobNotFound")
          assert.notStrictEqual(yield* submit(() => tokens("x"), key), first)
        }),
        { limits: { jobsKeptFor: "1 millis" }, storage: { keysKeptFor: "1 millis" } }
      )
    }).pipe(Effect.scoped)
  )

  it.live("belongs to one process: another one keeps its jobs in memory and says why", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* using(
        folder,
        submit(() => tokens("first"))
      )
      yield* using(
        folder,
        Effect.gen(function* () {
          const problem = yield* Jobs.use((jobs) => jobs.storageProblem)
          assert.include(problem, "Another process uses")
          const id = yield* submit(() => tokens("second"))
          assert.strictEqual((yield* allOf(id)).length, 3)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("sets damaged and foreign files aside, and begins again", () =>
    Effect.gen(function* () {
      for (const content of ["no database at all, but long enough to be one".repeat(100), ""]) {
        const folder = yield* temporaryFolder
        const events = path.join(folder, "queen.events")
        fs.mkdirSync(events)
        fs.writeFileSync(path.join(events, "00000003.journal"), "no journal")
        if (content !== "") fs.writeFileSync(path.join(folder, "queen.db"), content)
        const id = yield* Effect.scoped(
          using(
            folder,
            Effect.gen(function* () {
              assert.isUndefined(yield* Jobs.use((jobs) => jobs.storageProblem))
              return yield* Effect.tap(
                submit(() => tokens("x")),
                allOf
              )
            })
          )
        )
        yield* restarted(folder, recordOf(id))
        const kept = [...fs.readdirSync(folder), ...fs.readdirSync(events)].filter((name) =>
          name.includes(".damaged-")
        )
        assert.strictEqual(kept.length, content === "" ? 1 : 2)
      }
    }).pipe(Effect.scoped)
  )

  it.live("sets a file aside that stands where its folder belongs", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      fs.writeFileSync(path.join(folder, "queen.events"), "a file")
      const problem = yield* using(
        folder,
        Jobs.use((jobs) => jobs.storageProblem)
      )
      assert.isUndefined(problem)
      assert.isTrue(fs.statSync(path.join(folder, "queen.events")).isDirectory())
      assert.isTrue(fs.readdirSync(folder).some((name) => name.startsWith("queen.events.damaged-")))
    }).pipe(Effect.scoped)
  )

  it.live("keeps jobs in memory and says why if its folder cannot be made", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      fs.symlinkSync(path.join(folder, "nowhere", "else"), path.join(folder, "queen.events"))
      const problem = yield* using(
        folder,
        Jobs.use((jobs) => jobs.storageProblem)
      )
      assert.include(problem ?? "", "queen.events cannot be used")
    }).pipe(Effect.scoped)
  )

  it.live("writes nothing when it is off", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* using(
        folder,
        Effect.flatMap(
          submit(() => tokens("x")),
          allOf
        ),
        { storage: { sync: "off" } }
      )
      assert.deepStrictEqual(fs.readdirSync(folder), [])
    }).pipe(Effect.scoped)
  )

  it.live("that is full lets jobs go on in memory and says so; with room again they are durable", () =>
    Effect.gen(function* () {
      const folder = yield* smallDisk
      if (folder === undefined) return
      yield* using(
        folder,
        Effect.gen(function* () {
          const problem = Jobs.use((jobs) => jobs.storageProblem)
          const id = yield* submit(() => Stream.concat(tokens("before"), Stream.never))
          yield* written(id, 2)
          fillDisk(folder)
          const large = "x".repeat(100_000)
          const during = yield* submit(() => tokens(large))
          assert.strictEqual((yield* allOf(during)).length, 3)
          assert.include(yield* until(problem, (text) => text !== undefined), "the disk is full")
          fs.rmSync(path.join(folder, "filler"))
          yield* until(problem, (text) => text === undefined)
          yield* restarted(
            yield* crashed(folder),
            Effect.gen(function* () {
              assert.strictEqual((yield* allOf(id)).length, 3)
              assert.strictEqual((yield* allOf(during))[1]?.json, JobEvent.token(large).json)
            })
          )
        })
      )
    }).pipe(Effect.scoped)
  )
})
