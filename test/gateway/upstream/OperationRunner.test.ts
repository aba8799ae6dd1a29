import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { OperationRunner } from "../../../src/gateway/upstream/OperationRunner.ts"
import { Jobs } from "../../../src/job/Jobs.ts"
import { Ticker } from "../../../src/job/log/Follower.ts"
import { OperationRouter } from "../../../src/job/OperationRouter.ts"
import type { Work } from "../../../src/job/Submission.ts"
import { hiveCommand } from "../../../src/operation/Routing.ts"
import { Settings } from "../../../src/settings/Settings.ts"

const runner = (work: Work) =>
  OperationRunner.layerNoDeps.pipe(
    Layer.provide(
      Layer.mock(OperationRouter)({
        route: () => Effect.succeed({ operation: "test", routing: hiveCommand, router: "test", work })
      })
    ),
    Layer.provideMerge(Jobs.layer),
    Layer.provide([Ticker.layer, Settings.layerDefaults()])
  )

const run = OperationRunner.use((operations) => operations.run({ operation: "test" }))

describe("OperationRunner.run", () => {
  it.live("returns the id of the job when the job is done", () =>
    Effect.gen(function* () {
      const id = yield* run
      const { state } = yield* Jobs.use((jobs) => jobs.get(id))
      assert.strictEqual(state, "completed")
    }).pipe(Effect.provide(runner(() => Effect.void)))
  )

  it.live("fails with the code and the message of a failed job", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(run)
      assert.deepInclude(error, { _tag: "JobFailed", code: "ModelInUse", message: "busy" })
    }).pipe(Effect.provide(runner(() => Effect.fail({ _tag: "ModelInUse", message: "busy" }))))
  )

  it.live("fails with the code JobFailed if the job is cancelled", () => {
    const started = Deferred.makeUnsafe<string>()
    return Effect.gen(function* () {
      const running = yield* Effect.forkScoped(run)
      const id = yield* Deferred.await(started)
      yield* Jobs.use((jobs) => jobs.cancel(id))
      const error = yield* Effect.flip(Fiber.join(running))
      assert.deepInclude(error, { _tag: "JobFailed", code: "JobFailed", message: "The job was cancelled" })
    }).pipe(
      Effect.scoped,
      Effect.provide(runner(({ id }) => Effect.andThen(Deferred.succeed(started, id), Effect.never)))
    )
  })
})
