import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ResumedAnswers } from "../../../src/hive/inference/ResumedAnswers.ts"
import { WorkerFailed } from "../../../src/hive/workers/errors.ts"
import { WorkerClient } from "../../../src/hive/workers/WorkerClient.ts"
import { Workers } from "../../../src/hive/workers/Workers.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import type { RunningJob } from "../../../src/job/Submission.ts"
import { workerSpec } from "../../support/hiveFakes.ts"

const data = ["a", "b", "c"].map((text) =>
  JSON.stringify({ choices: [{ index: 0, text, finish_reason: null }] })
)
const last = JSON.stringify({ choices: [{ index: 0, text: "", finish_reason: "stop" }] })

const spec = workerSpec("w-2")

const gone = new WorkerFailed({ worker: "w-2", model: "m", reason: "it died", lastLines: [] })

interface Setting {
  /** What the log of the job has. */
  readonly written: ReadonlyArray<JobEvent>
  /** The port of the worker that keeps the answer. */
  readonly keeps?: number
  readonly answer?: ReadonlyArray<string>
}

const worker = (id: string, port: number) => ({
  record: { id, model: "m", state: "ready" as const, worker: "cpu", device: 0, port },
  requests: 0,
  spec: { ...spec, id }
})

const resume = (operation: "complete" | "infer", { answer = [...data, last], keeps, written }: Setting) => {
  const emitted: Array<JobEvent> = []
  const leased: Array<string | undefined> = []
  const job: RunningJob = {
    id: "job-1",
    readEvents: Effect.succeed(written.map(({ json, kind }, index) => ({ id: index + 1, kind, json }))),
    runsAt: () => Effect.succeed({ isLeftRunning: () => false, unconfirmed: () => {} })
  }
  const layer = ResumedAnswers.layerNoDeps.pipe(
    Layer.provide([
      Layer.mock(Workers)({
        list: Effect.succeed([worker("w-1", 1), worker("w-2", 2)]),
        lease: ({ workerId = "" }) =>
          Effect.sync(() => {
            leased.push(workerId)
            return {
              id: workerId,
              model: "m",
              port: 2,
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
        keeps: (port) => Effect.succeed(port === keeps),
        replay: (_worker, _requestId, take) =>
          Effect.forEach(answer, (text) => take([text]), { discard: true })
      })
    ])
  )
  const running = ResumedAnswers.use((answers) =>
    answers.resume(operation, job, (events) => Effect.sync(() => void emitted.push(...events)))
  ).pipe(Effect.provide(layer))
  const shown = () =>
    emitted.filter(({ kind }) => kind !== "narration").map(({ json, kind }) => `${kind} ${json}`)
  return { running, shown, leased }
}

const narration = JobEvent.narration("hv-infer", "infer", "Worker w-2 continues the prompt")

describe("ResumedAnswers", () => {
  it.effect("adds to the log of infer the tokens that it lacks, and the whole result", () =>
    Effect.gen(function* () {
      const written = [narration, JobEvent.token("a"), JobEvent.token("b")]
      const { leased, running, shown } = resume("infer", { written, keeps: 2 })
      yield* running
      assert.deepStrictEqual(leased, ["w-2"])
      assert.deepStrictEqual(shown(), [
        'token {"text":"c"}',
        'result {"text":"abc","finish_reason":"stop","usage":null}'
      ])
    })
  )

  it.effect("adds the chunks that a completion lacks, unparsed", () =>
    Effect.gen(function* () {
      const written = [narration, new JobEvent("chunk", data[0] ?? ""), narration]
      const { running, shown } = resume("complete", { written, keeps: 2 })
      yield* running
      assert.deepStrictEqual(
        shown(),
        [...data.slice(1), last].map((json) => `chunk ${json}`)
      )
    })
  )

  it.effect("adds nothing when the result is in the log", () =>
    Effect.gen(function* () {
      const written = [JobEvent.token("a"), JobEvent.result({ text: "a" })]
      const { leased, running, shown } = resume("infer", { written })
      yield* running
      assert.deepStrictEqual(leased, [])
      assert.deepStrictEqual(shown(), [])
    })
  )

  it.effect("fails with Interrupted if no worker has kept the answer", () =>
    Effect.gen(function* () {
      const { running } = resume("infer", { written: [narration] })
      const error = yield* Effect.flip(running)
      assert.strictEqual(error._tag, "Interrupted")
      assert.include(error.message, "submit it again")
    })
  )

  it.effect("fails if the kept answer was cut off", () =>
    Effect.gen(function* () {
      const { running } = resume("infer", { written: [], keeps: 2, answer: data })
      assert.deepStrictEqual(yield* Effect.flip(running), gone)
    })
  )
})
