import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { JobEvent } from "../../job/log/JobEvent.ts"
import type { RunningJob } from "../../job/Submission.ts"
import type { Complete } from "../../operation/inferenceOperations.ts"
import type { Lease } from "../workers/Lease.ts"
import { WorkerClient } from "../workers/WorkerClient.ts"
import { Workers } from "../workers/Workers.ts"
import type { LeaseRequest } from "../workers/WorkerSelection.ts"
import { embeddingBatches, withOffset } from "./embeddingBatches.ts"
import { stopWhenLeft } from "./stopRequest.ts"
import { type AnswerError, diagnosed, withLease } from "./WorkerLease.ts"

/** What the worker of a request is to be like. */
export interface WorkerRequirements extends Pick<
  LeaseRequest,
  "capabilities" | "contextSize" | "engine" | "inLine" | "minContext" | "parallel"
> {
  /** How long it is waited for, in milliseconds. */
  readonly waitMs?: number
  /** Is told the worker's id, and how long it was waited for to load, in milliseconds. */
  readonly onWorker?: (id: string, loadMs: number) => void
}

/** Answers the requests of applications on the workers of this hive. */
export class Completions extends Context.Service<
  Completions,
  {
    /** Says which worker it takes, then what the worker sends, unparsed. */
    readonly run: (
      operation: Complete,
      job: RunningJob,
      wishes?: WorkerRequirements
    ) => Stream.Stream<JobEvent, AnswerError>
  }
>()("rbee/hive/inference/Completions") {
  static readonly layerNoDeps = Layer.effect(
    Completions,
    Effect.suspend(() => make)
  )
}

const charactersPerToken = 4

const promptTokens = ({ input, messages, prompt }: Complete["body"]) =>
  JSON.stringify([input, messages, prompt]).length / charactersPerToken

const lengthOf = (value: unknown) => (Array.isArray(value) ? Math.max(1, value.length) : 1)

/** How many answers a request asks for, at most: a list may also be the tokens of one text. */
const answersOf = ({ input, n, prompt }: Complete["body"]) =>
  lengthOf(input) * lengthOf(prompt) * (typeof n === "number" && n > 1 ? n : 1)

const needsOf = ({ body, model, worker_id }: Complete) => ({
  model,
  workerId: worker_id,
  answers: answersOf(body)
})

const make = Effect.gen(function* () {
  const workers = yield* Workers
  const client = yield* WorkerClient

  const answer = Effect.fnUntraced(function* ({ api, body }: Complete, job: RunningJob, lease: Lease) {
    const sent = yield* stopWhenLeft(client, lease, job)
    const whole = Stream.fromEffectDrain(Effect.sync(sent.complete))
    const request = { api, promptTokens: promptTokens(body) }
    if (api === "embeddings") {
      const ask = (part: Complete["body"]) =>
        client.ask(lease, job.id, { ...request, body: { ...part, model: lease.model } })
      const batches = embeddingBatches(body)
      const answers =
        batches.length === 1
          ? Stream.fromEffect(Effect.map(ask(body), toResult))
          : Stream.mapEffect(Stream.fromIterable(batches), ({ body, offset }) =>
              Effect.map(ask(body), (text) => toChunk(withOffset(text, offset)))
            )
      return Stream.concat(answers, whole)
    }
    const options = Predicate.isReadonlyObject(body["stream_options"]) ? body["stream_options"] : {}
    const asked = {
      ...request,
      body: {
        ...body,
        ...lease.streamFields,
        model: lease.model,
        stream: true,
        stream_options: { ...options, include_usage: true }
      }
    }
    const data = client.stream(lease, job.id, asked, (silent) => {
      sent.failed()
      return Effect.flatMap(diagnosed(lease, silent), job.fail)
    })
    return Stream.concat(Stream.map(data, toChunk), whole)
  }, Stream.unwrap)

  return Completions.of({
    run: (operation, job, { onWorker, waitMs, ...wishes } = {}) =>
      withLease(workers, { ...wishes, ...needsOf(operation) }, job, {
        actor: "hv-gate",
        action: "complete",
        does: "answers the request",
        waitMs,
        answer: (lease, loadMs) => {
          onWorker?.(lease.id, loadMs)
          return answer(operation, job, lease)
        }
      })
  })
})

const toChunk = (data: string) => new JobEvent("chunk", data)
const toResult = (text: string) => new JobEvent("result", text)
