import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer, Schedule, Scope, Stream } from "effect"
import { Jobs } from "../../src/job/Jobs.ts"
import { hiveAnswer, hiveCommand } from "../../src/operation/Routing.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { collectGarbage } from "../support/garbage.ts"
import { allOf, Broken, submission, tokens, written, type StreamWork } from "../support/jobs.ts"

describe("many jobs", () => {
  it.live("ten thousand that ran and were dropped leave no fiber, no job and no memory behind", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Jobs.layer.pipe(
          Layer.provide(
            Settings.layerDefaults({ limits: { jobsKept: 10, graceAfterLastFollower: Duration.millis(50) } })
          )
        ),
        scope
      )
      const jobs = Context.get(context, Jobs)
      const works: Array<WeakRef<StreamWork>> = []
      const endings = [
        (): StreamWork => () => tokens("a", "b".repeat(1000)),
        (): StreamWork => () => Stream.fail(new Broken("no")),
        (): StreamWork => () => Stream.concat(tokens("a"), Stream.never)
      ]
      const runOne = Effect.fnUntraced(function* (i: number) {
        const work = endings[i % 3]?.() ?? (() => Stream.empty)
        works.push(new WeakRef(work))
        const routing = i % 2 === 0 ? hiveAnswer : hiveCommand
        const idempotency = { key: `k${i}`, body: "b" }
        const { job_id } = yield* jobs.submit(submission(work, { routing, idempotency }))
        if (i % 3 === 2) {
          yield* written(job_id, 2)
          yield* jobs.cancel(job_id)
        } else if (i % 2 === 0) yield* allOf(job_id)
        else yield* allOf(job_id).pipe(Effect.timeoutOption("5 seconds"))
      }, Effect.provide(context))
      const runMany = (count: number) =>
        Effect.forEach(Array.from({ length: count }), (_, i) => runOne(i), { concurrency: 50, discard: true })
      const held = Effect.sync(() => {
        collectGarbage()
        return {
          heap: process.memoryUsage().heapUsed,
          timers: process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length,
          works: works.filter((work) => work.deref() !== undefined).length
        }
      })
      const idle = yield* held
      const settled = Effect.repeat(held, {
        until: ({ timers, works }) => works <= 20 && timers <= idle.timers + 2,
        schedule: Schedule.max([Schedule.spaced("50 millis"), Schedule.recurs(100)])
      })

      yield* runMany(1000)
      const before = yield* settled
      yield* runMany(10_000)
      const after = yield* settled
      assert.isAtMost(after.works, 20)
      assert.isAtMost(after.timers, idle.timers + 2)
      assert.isBelow(after.heap - before.heap, 8_000_000)
      assert.strictEqual((yield* jobs.list).length, 10)
      yield* Scope.close(scope, Exit.void)
    })
  )
})
