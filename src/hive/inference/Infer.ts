import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Emit, RunningJob } from "../../job/Submission.ts"
import type { Infer as InferOperation } from "../../operation/inferenceOperations.ts"
import { estimateTokens } from "../../operation/promptSize.ts"
import { Settings } from "../../settings/Settings.ts"
import { Devices } from "../devices/Devices.ts"
import type { Lease } from "../workers/Lease.ts"
import { readDeviceName } from "../workers/Placement.ts"
import { WorkerClient } from "../workers/WorkerClient.ts"
import { Workers } from "../workers/Workers.ts"
import { InferAnswer } from "./InferAnswer.ts"
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
    const answer = new InferAnswer()
    const toEvents = (text: string) => {
      const token = answer.add(text)
      return operation.stream ? token : []
    }
    const request = {
      api: "completions",
      promptTokens: estimateTokens(operation.prompt.length),
      body: bodyOf(operation, lease)
    } as const
    yield* client.stream(lease, job.id, request, (data) => emit(data.flatMap(toEvents)))
    yield* emit([yield* answer.result])
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
