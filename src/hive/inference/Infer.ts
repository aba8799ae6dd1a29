import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { Emit, RunningJob } from "../../job/Submission.ts"
import { type EngineChunk, type EngineUsage, readChunk, shownText } from "../../job/view/EngineChunk.ts"
import type { Infer as InferOperation } from "../../operation/inferenceOperations.ts"
import { estimateTokens } from "../../operation/promptSize.ts"
import { Settings } from "../../settings/Settings.ts"
import { Devices } from "../devices/Devices.ts"
import { ConnectionLost } from "../workers/errors.ts"
import type { Lease } from "../workers/Lease.ts"
import { readDeviceName } from "../workers/Placement.ts"
import { WorkerClient } from "../workers/WorkerClient.ts"
import { Workers } from "../workers/Workers.ts"
import { stopWhenLeft } from "./stopRequest.ts"
import { type AnswerError, withLease } from "./WorkerLease.ts"

/** Continues prompts on the workers of this hive. */
export class Infer extends Context.Service<
  Infer,
  {
    /** Narrates the choice of a worker, then emits the tokens as they arrive, then the complete answer. */
    readonly run: (operation: InferOperation, job: RunningJob, emit: Emit) => Effect.Effect<void, AnswerError>
  }
>()("rbee/hive/inference/Infer") {
  static readonly layerNoDeps = Layer.effect(
    Infer,
    Effect.suspend(() => make)
  )
}

/** Collects an answer from its pieces. */
class Answer {
  #text = ""
  #finishReason: string | undefined
  #usage: EngineUsage | undefined

  /** Adds a piece; returns its text. */
  add(chunk: EngineChunk) {
    const text = shownText(chunk)
    this.#text += text
    this.#finishReason = chunk.choices[0]?.finishReason ?? this.#finishReason
    this.#usage = chunk.usage ?? this.#usage
    return text
  }

  /** An answer without a finish reason was cut off. */
  get isComplete() {
    return this.#finishReason !== undefined
  }

  get result() {
    return JobEvent.result({
      text: this.#text,
      finish_reason: this.#finishReason ?? null,
      usage: this.#usage ?? null
    })
  }
}

const bodyOf = (
  { max_tokens, prompt, temperature, top_k, top_p }: InferOperation,
  { model, streamFields }: Lease
) => ({
  ...streamFields,
  model,
  prompt,
  max_tokens,
  // An operation whose max_tokens exceeds the context is refused; an application's request is shortened.
  exact_max_tokens: true,
  temperature,
  top_p,
  top_k,
  stream: true,
  stream_options: { include_usage: true }
})

const make = Effect.gen(function* () {
  const devices = yield* Devices
  const workers = yield* Workers
  const client = yield* WorkerClient
  const { aliases } = yield* Settings
  const modelOf = (name: string) => (Object.hasOwn(aliases, name) ? aliases[name] : undefined)?.model ?? name

  const answer = Effect.fnUntraced(function* (
    operation: InferOperation,
    job: RunningJob,
    emit: Emit,
    lease: Lease
  ) {
    const answer = new Answer()
    const toEvents = (text: string) => {
      const chunk = readChunk(text)
      const piece = chunk === undefined ? "" : answer.add(chunk)
      return operation.stream && piece !== "" ? [JobEvent.token(piece)] : []
    }
    const request = {
      api: "completions",
      promptTokens: estimateTokens(operation.prompt.length),
      body: bodyOf(operation, lease)
    } as const
    yield* client.stream(lease, job.id, request, (data) => emit(data.flatMap(toEvents)))
    if (!answer.isComplete) return yield* new ConnectionLost({ reason: "the answer has no finish reason" })
    yield* emit([answer.result])
  })

  const deviceOf = Effect.fnUntraced(function* (device: InferOperation["device"]) {
    if (typeof device !== "string") return { device }
    return { on: yield* Effect.fromResult(readDeviceName(device, yield* devices.list)) }
  })

  const run = Effect.fnUntraced(function* (operation: InferOperation, job: RunningJob, emit: Emit) {
    const { device, model, worker_id: workerId } = operation
    const request = { model: modelOf(model), workerId, ...(yield* deviceOf(device)) }
    yield* withLease(workers, request, job, emit, {
      actor: "hv-infer",
      action: "infer",
      does: "continues the prompt",
      answer: (lease) => stopWhenLeft(client, lease, job, answer(operation, job, emit, lease))
    })
  })

  return Infer.of({ run })
})
