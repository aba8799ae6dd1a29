import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Queue, Stream } from "effect"
import { Devices } from "../../../src/hive/devices/Devices.ts"
import { Infer } from "../../../src/hive/inference/Infer.ts"
import type { AnswerError } from "../../../src/hive/inference/WorkerLease.ts"
import {
  ConnectionLost,
  WorkerFailed,
  WorkerNotFound,
  WorkerRefused
} from "../../../src/hive/workers/errors.ts"
import { type CompletionError, WorkerClient } from "../../../src/hive/workers/WorkerClient.ts"
import { Workers } from "../../../src/hive/workers/Workers.ts"
import type { LeaseRequest } from "../../../src/hive/workers/WorkerSelection.ts"
import type { JobEvent } from "../../../src/job/log/JobEvent.ts"
import type { RunningJob } from "../../../src/job/Submission.ts"
import * as Operation from "../../../src/operation/inferenceOperations.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { cpu, gpu } from "../../support/hiveFakes.ts"

const piece = (text: string, finish_reason: string | null = null) => ({
  choices: [{ index: 0, text, finish_reason }],
  usage: finish_reason === null ? null : { total_tokens: 3 }
})

const gone = new WorkerFailed({ worker: "w", model: "m", reason: "it died", lastLines: ["bang"] })

const operation = new Operation.Infer({
  hive_id: "h",
  model: "m",
  prompt: "p",
  max_tokens: 9,
  temperature: 0
})

const setUp = (pieces: Stream.Stream<object, CompletionError>) => {
  const cancelled: Array<string> = []
  let leases = 0
  let stop: Effect.Effect<boolean> = Effect.succeed(false)
  const job: RunningJob = {
    id: "job-1",
    readEvents: Effect.succeed([]),
    runsAt: (remote) =>
      Effect.sync(() => {
        stop = remote.stop ?? stop
        return { isLeftRunning: () => false, unconfirmed: () => {} }
      })
  }
  const requests: Array<LeaseRequest> = []
  const change = (by: number) =>
    Effect.sync(() => {
      leases += by
    })
  const layer = Infer.layerNoDeps.pipe(
    Layer.provide(Settings.layerDefaults({ aliases: { short: { model: "m" } } })),
    Layer.provide([
      Devices.layerMemory([gpu, cpu]),
      Layer.mock(Workers)({
        lease: (request, say) =>
          Effect.gen(function* () {
            requests.push(request)
            if (request.model !== "m") return yield* new WorkerNotFound({ worker: request.model, known: [] })
            yield* say("worker_spawn", "starting one")
            yield* Effect.acquireRelease(change(1), () => change(-1))
            return {
              id: "w",
              model: "m",
              port: 1,
              exitReason: Effect.succeed(gone),
              exited: Effect.never,
              isHealthy: Effect.succeed(true),
              cancellation: { _tag: "Delete" as const },
              keepsAnswers: true,
              streamFields: undefined,
              withdraw: () => 0,
              restart: () => Effect.void
            }
          })
      }),
      Layer.mock(WorkerClient)({
        stream: (_worker, _id, _request, take) =>
          Stream.runForEachArray(pieces, (batch) => take(batch.map((piece) => JSON.stringify(piece)))),
        cancel: (port, id) =>
          Effect.sync(() => cancelled.push(`${port} ${id}`)).pipe(Effect.as("stopped" as const))
      })
    ])
  )
  const run = (asked = operation) =>
    Stream.callback<JobEvent, AnswerError>((queue) =>
      Effect.andThen(
        Infer.use((infer) => infer.run(asked, job, (events) => Effect.asVoid(Queue.offerAll(queue, events)))),
        Queue.end(queue)
      ).pipe(Effect.provide(layer))
    )
  return { run, cancelled, requests, leases: () => leases, stop: Effect.suspend(() => stop) }
}

const shown = (events: ReadonlyArray<{ readonly kind: string; readonly json: string }>) =>
  events.map(({ json, kind }) => `${kind} ${kind === "narration" ? JSON.parse(json).action : json}`)

const answer = 'result {"text":"ab","finish_reason":"stop","usage":{"total_tokens":3}}'

describe("Infer", () => {
  it.effect("says what it does, gives the tokens, and the whole answer at the end", () =>
    Effect.gen(function* () {
      const { cancelled, leases, run } = setUp(Stream.make(piece("a"), piece("b"), piece("", "stop")))
      assert.deepStrictEqual(shown(yield* Stream.runCollect(run())), [
        "narration worker_spawn",
        "narration infer",
        'token {"text":"a"}',
        'token {"text":"b"}',
        answer
      ])
      assert.deepStrictEqual(cancelled, [])
      assert.strictEqual(leases(), 0)
    })
  )

  it.effect("takes a device by its index, its kind, its backend's index or its own name", () =>
    Effect.gen(function* () {
      const { requests, run } = setUp(Stream.make(piece("a", "stop")))
      const asked = (device: number | string) =>
        Stream.runDrain(run(new Operation.Infer({ ...operation, device })))
      for (const device of [1, "cpu", "CUDA", "cuda-1", "GPU-0", "gpu"]) yield* asked(device)
      assert.deepStrictEqual(
        requests.map(({ device, on }) => on ?? device),
        [
          1,
          { backend: "cpu" },
          { backend: "cuda" },
          { backend: "cuda", index: 1 },
          { backend: "cuda", index: 0 },
          { backend: "gpu" }
        ]
      )
      assert.deepStrictEqual(
        yield* Effect.forEach(["gpu-1", "tpu", "auto"], (device) =>
          Effect.map(Effect.flip(asked(device)), ({ _tag }) => _tag)
        ),
        ["DeviceNotFound", "UnknownWorkerKind", "UnknownWorkerKind"]
      )
      assert.lengthOf(requests, 6)
    })
  )

  it.effect("takes an alias of the settings for its model, and no other name", () =>
    Effect.gen(function* () {
      const { run } = setUp(Stream.make(piece("ab", "stop")))
      const asked = (model: string) => Stream.runCollect(run(new Operation.Infer({ ...operation, model })))
      assert.strictEqual(shown(yield* asked("short")).at(-1), answer)
      for (const model of ["Short", "toString"]) {
        assert.deepInclude(yield* Effect.flip(asked(model)), { _tag: "WorkerNotFound", worker: model })
      }
    })
  )

  it.effect("gives the answer alone when no stream is wanted", () =>
    Effect.gen(function* () {
      const { run } = setUp(Stream.make(piece("a"), piece("b", "stop")))
      const events = yield* Stream.runCollect(run(new Operation.Infer({ ...operation, stream: false })))
      assert.deepStrictEqual(shown(events), ["narration worker_spawn", "narration infer", answer])
    })
  )

  it.effect(
    "fails with the worker's end when its answer breaks off, and with its words when it has some",
    () =>
      Effect.gen(function* () {
        const ends = [
          Stream.make(piece("a")),
          Stream.concat(Stream.make(piece("a")), Stream.fail(new ConnectionLost({ reason: "ECONNRESET" })))
        ]
        for (const end of ends) {
          const { leases, run } = setUp(end)
          assert.strictEqual(yield* Effect.flip(Stream.runDrain(run())), gone)
          assert.strictEqual(leases(), 0)
        }
        const broken = new WorkerRefused({ worker: "w", status: 200, detail: "out of memory" })
        const { run } = setUp(Stream.concat(Stream.make(piece("a")), Stream.fail(broken)))
        assert.strictEqual(yield* Effect.flip(Stream.runDrain(run())), broken)
      })
  )

  it.effect("stops the worker's request when it is asked to, and when it is interrupted", () =>
    Effect.gen(function* () {
      const first = yield* Deferred.make<void>()
      const endless = Stream.concat(Stream.make(piece("a")), Stream.never)
      const { cancelled, leases, run, stop } = setUp(endless)
      const fiber = yield* run().pipe(
        Stream.runForEach(({ kind }) =>
          kind === "token" ? Deferred.succeed(first, undefined) : Effect.void
        ),
        Effect.forkChild
      )
      yield* Deferred.await(first)
      assert.strictEqual(leases(), 1)
      yield* stop
      assert.deepStrictEqual(cancelled, ["1 job-1"])
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(cancelled, ["1 job-1", "1 job-1"])
      assert.strictEqual(leases(), 0)
    })
  )
})
