import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Interrupted } from "../../job/errors.ts"
import { type EventKind, JobEvent } from "../../job/log/JobEvent.ts"
import type { Emit, RunningJob } from "../../job/Submission.ts"
import type { Lease } from "../workers/Lease.ts"
import { WorkerClient } from "../workers/WorkerClient.ts"
import { Workers } from "../workers/Workers.ts"
import { InferAnswer } from "./InferAnswer.ts"
import { stopWhenLeft } from "./stopRequest.ts"
import { type AnswerError, withLease } from "./WorkerLease.ts"

/** The operations whose streamed answers workers keep. */
export type ResumableOperation = "complete" | "infer"

export const isResumable = (operation: string): operation is ResumableOperation =>
  operation === "complete" || operation === "infer"

/** Continues answers that an earlier process of this hive began, and that workers have kept and gone on with. */
export class ResumedAnswers extends Context.Service<
  ResumedAnswers,
  {
    /**
     * Finds the worker that has the answer to the job, reads the answer from its beginning, and emits what the job's log
     * lacks. Fails with `Interrupted` if no worker has it.
     */
    readonly resume: (
      operation: ResumableOperation,
      job: RunningJob,
      emit: Emit
    ) => Effect.Effect<void, AnswerError | Interrupted>
  }
>()("rbee/hive/inference/ResumedAnswers") {
  static readonly layerNoDeps = Layer.effect(
    ResumedAnswers,
    Effect.suspend(() => make)
  )
}

const answerKinds: ReadonlySet<EventKind> = new Set(["chunk", "result", "token"])

/** Emits all events but the first `count`. */
const emitAfter = (count: number, emit: Emit): Emit => {
  let left = count
  return (events) => {
    const fresh = events.slice(left)
    left = Math.max(0, left - events.length)
    return fresh.length === 0 ? Effect.void : emit(fresh)
  }
}

const make = Effect.gen(function* () {
  const workers = yield* Workers
  const client = yield* WorkerClient

  const findWorker = Effect.fnUntraced(function* (operation: string, jobId: string) {
    for (const { record, spec } of yield* workers.list) {
      if (record.port !== undefined && (yield* client.keeps(record.port, jobId))) return spec
    }
    return yield* new Interrupted({ operation, hasEffects: false })
  })

  const readInfer = Effect.fnUntraced(function* (lease: Lease, job: RunningJob, emit: Emit) {
    const answer = new InferAnswer()
    yield* client.replay(lease, job.id, (data) => emit(data.flatMap((text) => answer.add(text))))
    yield* emit([yield* answer.result])
  })

  const readChunks = (lease: Lease, job: RunningJob, emit: Emit) =>
    client.replay(lease, job.id, (data) => emit(data.map((text) => new JobEvent("chunk", text))))

  const resume = Effect.fn("ResumedAnswers.resume")(function* (
    operation: ResumableOperation,
    job: RunningJob,
    emit: Emit
  ) {
    const written = (yield* job.readEvents).filter(({ kind }) => answerKinds.has(kind))
    if (written.at(-1)?.kind === "result") return
    const spec = yield* findWorker(operation, job.id)
    const rest = emitAfter(written.length, emit)
    const read = operation === "infer" ? readInfer : readChunks
    yield* withLease(workers, { model: spec.model, workerId: spec.id }, job, emit, {
      actor: "hv-resume",
      action: operation,
      does: "has kept the answer, which continues after a restart of the hive",
      answer: (lease) => stopWhenLeft(client, lease, job, read(lease, job, rest))
    })
  })

  return ResumedAnswers.of({ resume })
})
