import { readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Fiber, Stream } from "effect"
import { HttpClient } from "effect/http"
import { Pids } from "../../src/system/Pids.ts"
import {
  Client,
  failureOf,
  inferTiny,
  narrationOf,
  resultOf,
  spawnTiny,
  temporaryHome,
  withHive,
  workerList,
  workerOf
} from "../support/hive.ts"
import { slowerWorkerProgram, slowWorkerProgram } from "../support/programs.ts"
import { until } from "../support/until.ts"

/** Of a slow worker, so that it does not end before the test has done something. */
const slowAnswer = { ...inferTiny, max_tokens: 480 }

const kill = (pid: number | undefined) => Effect.sync(() => process.kill(pid ?? 0, "SIGKILL"))

const busyOf = (port: number | undefined) =>
  HttpClient.get(`http://127.0.0.1:${port}/health`).pipe(
    Effect.flatMap((response) => response.json),
    Effect.map((health) =>
      typeof health === "object" && health !== null && "busy" in health ? health.busy : undefined
    )
  )

const isGone = (pid: number | undefined) =>
  Effect.flatMap(Pids, (pids) => Effect.map(pids.startTime(pid ?? 0), ({ _tag }) => _tag === "None"))

describe("a hive with real workers", () => {
  it.live("spawns, lists, answers and deletes", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const spawned = yield* client.events(spawnTiny)
        const worker = workerOf(spawned)
        assert.include(narrationOf(spawned), "Placing rbee:tiny on cpu-0")
        assert.deepInclude(worker, { model: "rbee:tiny", state: "ready", worker: "cpu", device: 0 })
        assert.deepStrictEqual(yield* workerList, [worker])
        assert.deepStrictEqual(
          workerOf(yield* client.events({ operation: "worker_get", hive_id: "x", id: worker.id })),
          worker
        )

        const events = yield* client.events(inferTiny)
        const tokens = events.filter(({ kind }) => kind === "token").map(({ json }) => JSON.parse(json).text)
        const answer = JSON.parse(resultOf(events))
        assert.isAbove(tokens.length, 5)
        assert.strictEqual(tokens.join(""), answer.text)
        assert.strictEqual(answer.finish_reason, "length")
        assert.strictEqual(answer.usage.completion_tokens, 20)
        assert.strictEqual(events.at(-1)?.kind, "done")

        const silent = yield* client.events({ ...inferTiny, stream: false })
        assert.isEmpty(silent.filter(({ kind }) => kind === "token"))
        assert.isNotEmpty(JSON.parse(resultOf(silent)).text)

        const gone = yield* client.events({ operation: "worker_delete", hive_id: "x", id: worker.id })
        assert.deepStrictEqual(JSON.parse(resultOf(gone)), { id: worker.id, state: "stopped" })
        assert.deepStrictEqual(yield* workerList, [])
        assert.isTrue(yield* isGone(worker.pid))
      })
    )
  )

  it.live("starts one worker for two concurrent requests, and reuses it", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const both = yield* Effect.all([client.events(inferTiny), client.events(inferTiny)], {
          concurrency: 2
        })
        assert.lengthOf(
          both.filter((events) => narrationOf(events).includes("No worker serves rbee:tiny")),
          1
        )
        for (const events of both) assert.strictEqual(events.at(-1)?.kind, "done")
        assert.lengthOf(yield* workerList, 1)
        assert.notInclude(narrationOf(yield* client.events(inferTiny)), "worker_spawn")
      })
    )
  )

  it.live("acknowledges a cancel when the slot is free, within 100 ms", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const { port } = workerOf(yield* client.events(spawnTiny))
        const cancel = Effect.gen(function* () {
          const id = yield* client.submit(slowAnswer)
          const firstToken = yield* Deferred.make<void>()
          const following = yield* client.follow(id).pipe(
            Stream.tap(({ kind }) =>
              kind === "token" ? Deferred.succeed(firstToken, undefined) : Effect.void
            ),
            Stream.runCollect,
            Effect.forkChild
          )
          yield* Deferred.await(firstToken)
          const asked = yield* Clock.currentTimeMillis
          yield* client.cancel(id)
          const took = (yield* Clock.currentTimeMillis) - asked
          assert.strictEqual(yield* busyOf(port), 0)
          const events = yield* Fiber.join(following)
          assert.strictEqual(events.at(-1)?.kind, "cancelled")
          assert.lengthOf(
            events.filter(({ kind }) => kind === "cancelled" || kind === "done"),
            1
          )
          return took
        })
        // The other tests of the run have the same cores, so the quickest of five counts.
        let quickest = Number.POSITIVE_INFINITY
        for (let round = 0; round < 5 && quickest >= 100; round++) {
          quickest = Math.min(quickest, yield* cancel)
        }
        assert.isBelow(quickest, 100)
      }),
      { worker: slowWorkerProgram }
    )
  )

  it.live("kills the process of a cancelled start", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const id = yield* client.submit(spawnTiny)
        const [worker] = yield* until(workerList, ([first]) => first?.pid !== undefined)
        yield* client.cancel(id)
        assert.isTrue(yield* isGone(worker?.pid))
        assert.deepStrictEqual(yield* workerList, [])
      })
    )
  )

  it.live("reports a failed start with the last log lines within a second", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const failure = failureOf(yield* client.events(spawnTiny))
        assert.strictEqual(failure.code, "WorkerFailed")
        assert.include(failure.message, "ended with code 3")
        const [, endedAt] = /line 12 \| line 13 \| ended at (\d+)/.exec(failure.message) ?? []
        assert.isBelow(Date.now() - Number(endedAt), 1_000)
        assert.notInclude(failure.message, "line 2 |")
        assert.deepStrictEqual(yield* workerList, [])
      }),
      { worker: new URL("../support/crashingWorker.ts", import.meta.url).pathname }
    )
  )

  it.live("rejects a file that is not a model before it starts a process", () =>
    Effect.flatMap(temporaryHome, (home) => {
      const file = path.join(home, "broken.gguf")
      writeFileSync(file, "GGUF and then nothing that makes sense")
      return withHive(
        Effect.gen(function* () {
          const client = yield* Client
          const failure = failureOf(yield* client.events({ ...spawnTiny, model: `file:${file}` }))
          assert.strictEqual(failure.code, "GgufError")
          assert.include(failure.message, "cannot be used as a model")
        })
      )
    })
  )

  it.live("reports the engine's reason for a failed load", () =>
    Effect.flatMap(temporaryHome, (home) => {
      const file = path.join(home, "maimed.gguf")
      const whole = readFileSync(
        new URL("../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url)
      )
      // A tensor of another name is a tensor that is missing.
      whole.write("blk.0.attn_x.weight", whole.indexOf("blk.0.attn_q.weight"))
      writeFileSync(file, whole)
      return withHive(
        Effect.gen(function* () {
          const client = yield* Client
          const failure = failureOf(yield* client.events({ ...spawnTiny, model: `file:${file}` }))
          assert.strictEqual(failure.code, "WorkerFailed")
          assert.match(failure.message, /ended with code 1 before it was ready; its last lines: .*attn_q/)
          assert.deepStrictEqual(yield* workerList, [])
        })
      )
    })
  )

  it.live("restarts a worker that died, and fails its request", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const worker = workerOf(yield* client.events(spawnTiny))
        const firstToken = yield* Deferred.make<void>()
        const id = yield* client.submit(slowAnswer)
        const following = yield* client.follow(id).pipe(
          Stream.tap(({ kind }) =>
            kind === "token" ? Deferred.succeed(firstToken, undefined) : Effect.void
          ),
          Stream.runCollect,
          Effect.forkChild
        )
        yield* Deferred.await(firstToken)
        yield* kill(worker.pid)
        const failure = failureOf(yield* Fiber.join(following))
        assert.strictEqual(failure.code, "WorkerFailed")
        assert.include(failure.message, "SIGKILL")

        const waited = yield* client.events(inferTiny)
        assert.include(narrationOf(waited), "Waiting for worker")
        assert.strictEqual(waited.at(-1)?.kind, "done")
        const [again] = yield* workerList
        assert.strictEqual(again?.id, worker.id)
        assert.strictEqual(again?.state, "ready")
        assert.notStrictEqual(again?.pid, worker.pid)
        assert.notStrictEqual(again?.port, worker.port)
      }),
      { worker: slowWorkerProgram }
    )
  )

  it.live("ends the answer of a silent worker within the time limit, and names the worker", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const worker = workerOf(yield* client.events(spawnTiny))
        const { max_tokens, model, prompt } = slowAnswer
        const complete = {
          operation: "complete",
          hive_id: "test",
          model,
          api: "completions",
          body: { prompt, max_tokens }
        }
        for (const operation of [slowAnswer, complete]) {
          const begun = yield* Deferred.make<void>()
          const following = yield* client.follow(yield* client.submit(operation)).pipe(
            Stream.tap(({ kind }) =>
              kind === "token" || kind === "chunk" ? Deferred.succeed(begun, undefined) : Effect.void
            ),
            Stream.runCollect,
            Effect.forkChild
          )
          yield* Deferred.await(begun)
          process.kill(worker.pid ?? 0, "SIGSTOP")
          // The hive asks the frozen worker for its health for one second; the failure waits for nothing else.
          const failure = failureOf(yield* Effect.timeout(Fiber.join(following), "5 seconds"))
          process.kill(worker.pid ?? 0, "SIGCONT")
          assert.strictEqual(failure.code, "WorkerUnhealthy")
          assert.include(failure.message, "sent nothing for 0.5 s (timeouts.between_tokens)")
        }
      }),
      { settings: { timeouts: { betweenTokens: Duration.millis(500) } }, worker: slowerWorkerProgram }
    )
  )

  it.live("restarts a worker under its id", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const worker = workerOf(yield* client.events(spawnTiny))
        const again = workerOf(
          yield* client.events({ operation: "worker_restart", hive_id: "test", id: worker.id })
        )
        assert.strictEqual(again.id, worker.id)
        assert.notStrictEqual(again.pid, worker.pid)
        assert.isTrue(yield* isGone(worker.pid))
      })
    )
  )

  it.live("explains rejected requests", () =>
    withHive(
      Effect.gen(function* () {
        const client = yield* Client
        const worker = workerOf(yield* client.events(spawnTiny))
        const failing = (operation: object) => Effect.map(client.events(operation), failureOf)

        const gpu = yield* failing({ ...spawnTiny, model: "llama2", worker: "gpu-9", device: 9 })
        assert.strictEqual(gpu.code, "DeviceNotFound")
        assert.include(gpu.message, "Device 'gpu-9' not found")
        assert.include(gpu.message, "cpu-0")

        const model = yield* failing({ ...spawnTiny, model: "llama2" })
        assert.strictEqual(model.code, "ModelNotFound")
        assert.include(model.message, "rbee:tiny")

        const long = yield* failing({ ...inferTiny, max_tokens: 4000 })
        assert.strictEqual(long.code, "ContextLengthExceeded")
        assert.match(long.message, /4000.*512/)

        const unknown = yield* failing({ ...inferTiny, worker_id: "nobody" })
        assert.strictEqual(unknown.code, "WorkerNotFound")
        assert.include(unknown.message, worker.id)

        const wrong = yield* failing({ ...inferTiny, model: "llama2", worker_id: worker.id })
        assert.strictEqual(wrong.code, "WrongModel")

        const download = yield* failing({ operation: "model_download", hive_id: "test", model: "llama2" })
        assert.strictEqual(download.code, "NotDownloadable")
        assert.strictEqual(
          (yield* client.events({ ...inferTiny, worker_id: worker.id })).at(-1)?.kind,
          "done"
        )
      })
    )
  )
})
