import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { boundUrl } from "../../../src/daemon/DaemonAddress.ts"
import type { SettingChanges } from "../../../src/settings/Settings.ts"
import { bigModel, bigModelHub } from "../../support/bigModel.ts"
import { ask } from "../../support/daemon.ts"
import {
  Client,
  failureOf,
  hiveLayer,
  inferTiny,
  resultOf,
  spawnTiny,
  temporaryHome
} from "../../support/hive.ts"
import { slowLoaderProgram } from "../../support/programs.ts"
import { queenLayer } from "../../support/queen.ts"
import { until } from "../../support/until.ts"

// A queen that is stopped in an orderly way while its hive works, and another that takes its place.

const startHive = Effect.fnUntraced(function* (settings: SettingChanges = {}) {
  const context = yield* Layer.build(
    hiveLayer({ home: yield* temporaryHome, worker: slowLoaderProgram, settings }).pipe(Layer.orDie)
  )
  const url = yield* Effect.provideContext(boundUrl, context)
  const startQueen = Effect.fnUntraced(function* (home: string) {
    const own = yield* Scope.fork(yield* Effect.scope)
    const queen = yield* Layer.buildWithScope(
      queenLayer({ home, hives: { test: url } }).pipe(Layer.orDie),
      own
    )
    // Not over the queen's own connections, which end with it.
    const client = yield* Effect.provideContext(
      Effect.flatMap(Effect.provideContext(boundUrl, queen), Client.make),
      context
    )
    return { client, stop: Scope.close(own, Exit.void) }
  })
  return { url, startQueen }
})

const hiveJobs = (hiveUrl: string, operation: string) =>
  Effect.map(ask(hiveUrl, { path: "/v1/jobs" }), ({ text }) => {
    const { jobs } = JSON.parse(text)
    return jobs.filter((job: { readonly operation: string }) => job.operation === operation)
  })

const stateOf = (hiveUrl: string, operation: string) =>
  Effect.map(hiveJobs(hiveUrl, operation), (jobs) =>
    jobs.map(({ state }: { readonly state: string }) => state)
  )

const isRunning = ([state]: ReadonlyArray<string>) => state === "running"

describe("a queen that stops", () => {
  it.live("leaves a download running at its hive, which the next queen joins", () =>
    Effect.gen(function* () {
      const size = 3_000_000
      let allowed = 1_000_000
      const hub = yield* bigModelHub(bigModel(size), () => allowed)
      const hive = yield* startHive({ models: { hfEndpoint: hub.url } })
      const home = yield* temporaryHome
      const download = { operation: "model_download", hive_id: "test", model: "acme/big" }

      const first = yield* hive.startQueen(home)
      const ended = yield* Effect.forkChild(
        first.client.submit(download).pipe(Effect.flatMap((id) => Stream.runCollect(first.client.follow(id))))
      )
      yield* until(Effect.sync(hub.sent), (sent) => sent >= allowed)
      yield* first.stop

      const [{ job_id }] = yield* hiveJobs(hive.url, "model_download")
      assert.deepStrictEqual(failureOf(yield* Fiber.join(ended)), {
        code: "WorkContinues",
        message: `The queen is stopping; model_download continues on hive 'test' as ${job_id}: repeat the operation to follow it again`
      })
      assert.deepStrictEqual(yield* stateOf(hive.url, "model_download"), ["running"])

      const second = yield* hive.startQueen(home)
      const again = yield* Effect.forkChild(second.client.events(download))
      yield* until(hiveJobs(hive.url, "model_download"), (jobs) => jobs.length === 2)
      allowed = Number.MAX_SAFE_INTEGER
      assert.strictEqual(JSON.parse(resultOf(yield* Fiber.join(again))).id, "hf:acme/big")
      yield* until(stateOf(hive.url, "model_download"), (states) => !states.includes("running"))
      assert.deepStrictEqual(yield* stateOf(hive.url, "model_download"), ["completed", "completed"])
      assert.isBelow(hub.sent(), size + 500_000)
    }).pipe(Effect.scoped)
  )

  for (const hiveId of ["test", "auto"]) {
    it.live(`leaves a worker starting that was requested at '${hiveId}', and reports its hive`, () =>
      Effect.gen(function* () {
        const hive = yield* startHive()
        const { client, stop } = yield* hive.startQueen(yield* temporaryHome)
        const id = yield* client.submit({ ...spawnTiny, hive_id: hiveId })
        const ended = yield* Effect.forkChild(Stream.runCollect(client.follow(id)))
        yield* until(stateOf(hive.url, "worker_spawn"), isRunning)
        yield* until(ask(client.peer.url, { path: `/v1/jobs/${id}` }), ({ text }) =>
          text.includes("hive_job_id")
        )
        yield* stop
        const { code, message } = failureOf(yield* Fiber.join(ended))
        assert.strictEqual(code, "WorkContinues")
        assert.include(message, "on hive 'test' as job-")
        assert.include(message, "check its outcome there before you repeat it")
        yield* until(stateOf(hive.url, "worker_spawn"), ([state]) => state === "completed")
      }).pipe(Effect.scoped)
    )
  }

  it.live(
    "leaves a worker starting that the scheduler requested for an application, and ends the request",
    () =>
      Effect.gen(function* () {
        const hive = yield* startHive()
        const { client, stop } = yield* hive.startQueen(yield* temporaryHome)
        const body = JSON.stringify({
          model: "rbee:tiny",
          messages: [{ role: "user", content: "Hi" }],
          stream: true
        })
        const chat = yield* Effect.forkChild(
          ask(client.peer.url, { method: "POST", path: "/v1/chat/completions", body })
        )
        yield* until(stateOf(hive.url, "worker_spawn"), isRunning)
        yield* stop
        assert.notInclude((yield* Fiber.join(chat)).text, "[DONE]")
        yield* until(stateOf(hive.url, "worker_spawn"), ([state]) => state === "completed")
      }).pipe(Effect.scoped)
  )

  it.live("cancels an answer at its hive if nobody else waits for it", () =>
    Effect.gen(function* () {
      const hive = yield* startHive()
      const { client, stop } = yield* hive.startQueen(yield* temporaryHome)
      const id = yield* client.submit({ ...inferTiny, max_tokens: 400 })
      const events = yield* Effect.forkChild(Stream.runCollect(client.follow(id)))
      yield* until(ask(client.peer.url, { path: `/v1/jobs/${id}` }), ({ text }) =>
        text.includes("hive_job_id")
      )
      yield* stop
      assert.strictEqual((yield* Fiber.join(events)).at(-1)?.kind, "cancelled")
      assert.deepStrictEqual(yield* stateOf(hive.url, "infer"), ["cancelled"])
    }).pipe(Effect.scoped)
  )
})
