import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { LogFull } from "../../job/log/JobLog.ts"
import type { Emit, RunningJob } from "../../job/Submission.ts"
import type { Complete } from "../../operation/inferenceOperations.ts"
import { estimateTokens } from "../../operation/promptSize.ts"
import type { Lease } from "../workers/Lease.ts"
import { type CompletionError, WorkerClient } from "../workers/WorkerClient.ts"
import { Workers } from "../workers/Workers.ts"
import type { LeaseRequest } from "../workers/WorkerSelection.ts"
import { embeddingBatches, withOffset } from "./embeddingBatches.ts"
import { stopWhenLeft } from "./stopRequest.ts"
import { type AnswerError, withLease } from "./WorkerLease.ts"

/** What a request requires of its worker. */
export interface WorkerRequirements extends Pick<
  LeaseRequest,
  "capabilities" | "contextSize" | "engine" | "inLine" | "minContext" | "parallel"
> {
  /** The longest wait for a worker, in milliseconds. */
  readonly waitMs?: number
  /** Called with the worker's id and the milliseconds for which it loaded. */
  readonly onWorker?: (id: string, loadMs: number) => void
}

/** Answers the requests of applications on the workers of this hive. */
export class Completions extends Context.Service<
  Completions,
  {
    /** Narrates the choice of a worker, then emits the worker's data, unparsed. */
    readonly run: (
      operation: Complete,
      job: RunningJob,
      emit: Emit,
      requirements?: WorkerRequirements
    ) => Effect.Effect<void, AnswerError>
  }
>()("rbee/hive/inference/Completions") {
  static readonly layerNoDeps = Layer.effect(
    Completions,
    Effect.suspend(() => make)
  )
}

const promptTokens = ({ input, messages, prompt }: Complete["body"]) =>
  estimateTokens(JSON.stringify([input, messages, prompt]).length)

const lengthOf = (value: unknown) => (Array.isArray(value) ? Math.max(1, value.length) : 1)

/** The number of answers to a request, at most: a list may also hold the tokens of one text. */
const answersOf = ({ input, n, prompt }: Complete["body"]) =>
  lengthOf(input) * lengthOf(prompt) * (typeof n === "number" && n > 1 ? n : 1)

const leaseRequestOf = ({ body, model, worker_id }: Complete) => ({
  model,
  workerId: worker_id,
  answers: answersOf(body)
})

/** The request as it is sent to a worker that streams its answer. */
const streamed = (body: Complete["body"], lease: Lease) => {
  const options = Predicate.isReadonlyObject(body["stream_options"]) ? body["stream_options"] : {}
  return {
    ...body,
    ...lease.streamFields,
    model: lease.model,
    stream: true,
    stream_options: { ...options, include_usage: true }
  }
}

const toChunk = (data: string) => new JobEvent("chunk", data)
const toResult = (text: string) => new JobEvent("result", text)

const make = Effect.gen(function* () {
  const workers = yield* Workers
  const client = yield* WorkerClient

  const embed = Effect.fnUntraced(function* ({ body }: Complete, job: RunningJob, emit: Emit, lease: Lease) {
    const request = { api: "embeddings", promptTokens: promptTokens(body) } as const
    const batches = embeddingBatches(body)
    for (const { body: part, offset } of batches) {
      const text = yield* client.ask(lease, job.id, { ...request, body: { ...part, model: lease.model } })
      yield* emit([batches.length === 1 ? toResult(text) : toChunk(withOffset(text, offset))])
    }
  })

  const answer = (
    operation: Complete,
    job: RunningJob,
    emit: Emit,
    lease: Lease
  ): Effect.Effect<void, CompletionError | LogFull> => {
    const { api, body } = operation
    if (api === "embeddings") return embed(operation, job, emit, lease)
    const request = { api, promptTokens: promptTokens(body), body: streamed(body, lease) }
    return client.stream(lease, job.id, request, (data) => emit(data.map(toChunk)))
  }

  return Completions.of({
    run: (operation, job, emit, { onWorker, waitMs, ...requirements } = {}) =>
      withLease(workers, { ...requirements, ...leaseRequestOf(operation) }, job, emit, {
        actor: "hv-gate",
        action: "complete",
        does: "answers the request",
        waitMs,
        answer: (lease, loadMs) => {
          onWorker?.(lease.id, loadMs)
          return stopWhenLeft(client, lease, job, answer(operation, job, emit, lease))
        }
      })
  })
})
