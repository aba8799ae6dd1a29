import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { RunningJob } from "../../job/Submission.ts"
import { type EngineChunk, type EngineUsage, readChunk, shownText } from "../../job/view/EngineChunk.ts"
import type { Infer as InferOperation } from "../../operation/inferenceOperations.ts"
import { Settings } from "../../settings/Settings.ts"
import { Devices } from "../devices/Devices.ts"
import { ConnectionLost } from "../workers/errors.ts"
import type { Lease } from "../workers/Lease.ts"
import { readDeviceName } from "../workers/Placement.ts"
import { WorkerClient } from "../workers/WorkerClient.ts"
import { Workers } from "../workers/Workers.ts"
import { stopWhenLeft } from "./stopRequest.ts"
import { type AnswerError, diagnosed, withLease } from "./WorkerLease.ts"

/** Continues prompts on the workers of this hive. */
export class Infer extends Context.Service<
  Infer,
  {
    /** Says which worker it takes, then the tokens as they come, then the whole answer. */
    readonly run: (operation: InferOperation, job: RunningJob) => Stream.Stream<JobEvent, AnswerError>
  }
>()("rbee/hive/inference/Infer") {
  static readonly layerNoDeps = Layer.effect(
    Infer,
    Effect.suspend(() => make)
  )
}

const charactersPerToken = 4

/** Gathers an answer from its pieces. */
class Answer {
  #text = ""
  #finishReason: string | undefined
  #usage: EngineUsage | undefined

  /** Gives the text of the piece. */
  add(chunk: EngineChunk) {
    const text = shownText(chunk)
    this.#text += text
    this.#finishReason = chunk.choices[0]?.finishReason ?? this.#finishReason
    this.#usage = chunk.usage ?? this.#usage
    return text
  }

  /** Without a reason for its end, an answer was cut off. */
  get isWhole() {
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

const make = Effect.gen(function* () {
  const devices = yield* Devices
  const workers = yield* Workers
  const client = yield* WorkerClient
  const { aliases } = yield* Settings
  const modelOf = (name: string) => (Object.hasOwn(aliases, name) ? aliases[name] : undefined)?.model ?? name

  const answer = Effect.fnUntraced(function* (operation: InferOperation, job: RunningJob, lease: Lease) {
    const whole = new Answer()
    const sent = yield* stopWhenLeft(client, lease, job)

    const { max_tokens, prompt, temperature, top_k, top_p } = operation
    const asked = {
      api: "completions",
      promptTokens: prompt.length / charactersPerToken,
      body: {
        ...lease.streamFields,
        model: lease.model,
        prompt,
        max_tokens,
        // An operation is refused where an application's request is cut.
        exact_max_tokens: true,
        temperature,
        top_p,
        top_k,
        stream: true,
        stream_options: { include_usage: true }
      }
    } as const
    const data = client.stream(lease, job.id, asked, (silent) => {
      sent.failed()
      return Effect.flatMap(diagnosed(lease, silent), job.fail)
    })
    const toEvent = (text: string) => {
      const chunk = readChunk(text)
      if (chunk === undefined) return undefined
      const piece = whole.add(chunk)
      return operation.stream && piece !== "" ? JobEvent.token(piece) : undefined
    }
    const tokens = data.pipe(
      Stream.map(toEvent),
      Stream.filter((event) => event !== undefined)
    )
    const end = Stream.suspend(() => {
      sent.complete()
      return whole.isWhole
        ? Stream.make(whole.result)
        : Stream.fail(new ConnectionLost({ reason: "the answer has no reason for its end" }))
    })
    return Stream.concat(tokens, end)
  }, Stream.unwrap)

  const where = Effect.fnUntraced(function* (device: InferOperation["device"]) {
    if (typeof device !== "string") return { device }
    return { on: yield* Effect.fromResult(readDeviceName(device, yield* devices.list)) }
  })

  const run = Effect.fnUntraced(function* (operation: InferOperation, job: RunningJob) {
    const { device, model, worker_id: workerId } = operation
    const request = { model: modelOf(model), workerId, ...(yield* where(device)) }
    return withLease(workers, request, job, {
      actor: "hv-infer",
      action: "infer",
      does: "continues the prompt",
      answer: (lease) => answer(operation, job, lease)
    })
  }, Stream.unwrap)

  return Infer.of({ run })
})
