import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { JobEvent } from "../job/JobEvent.ts"
import type { RunningJob } from "../job/Submission.ts"
import type { Infer as InferOperation } from "../operation/Operation.ts"
import type { CompletionPiece, Usage } from "./Completion.ts"
import { type ContextLengthExceeded, type WorkerFailed, WorkerRefused, type WorkerSilent } from "./errors.ts"
import { WorkerClient } from "./WorkerClient.ts"
import { type Lease, type LeaseError, Workers } from "./Workers.ts"

export type InferError = ContextLengthExceeded | LeaseError | WorkerRefused | WorkerSilent

/** Continues prompts on the workers of this hive. */
export class Infer extends Context.Service<
  Infer,
  {
    /** Says which worker it takes, then the tokens as they come, then the whole answer. */
    readonly run: (operation: InferOperation, job: RunningJob) => Stream.Stream<JobEvent, InferError>
  }
>()("rbee/hive/Infer") {
  static readonly layerNoDeps = Layer.effect(
    Infer,
    Effect.suspend(() => make)
  )
}

const actor = "hv-infer"

/** Gathers an answer from its pieces. */
class Answer {
  #text = ""
  #finishReason: string | undefined
  #usage: Usage | undefined
  /** What the worker said when it failed in the middle. */
  detail: string | undefined

  add({ error, finishReason, text, usage }: CompletionPiece) {
    this.#text += text
    this.detail ??= error
    this.#finishReason = finishReason ?? this.#finishReason
    this.#usage = usage ?? this.#usage
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
  const workers = yield* Workers
  const client = yield* WorkerClient

  // The lease is kept in the stream's scope, and what is said while it is sought comes out as it is said.
  const seek = (operation: InferOperation, job: RunningJob, found: Deferred.Deferred<Lease>) =>
    Effect.map(Effect.scope, (scope) =>
      Stream.callback<JobEvent, LeaseError>((queue) =>
        workers
          .lease(
            { model: operation.model, device: operation.device, workerId: operation.worker_id },
            (action, message) =>
              Effect.asVoid(Queue.offer(queue, JobEvent.narration(actor, action, message, job.id)))
          )
          .pipe(
            Scope.provide(scope),
            Effect.flatMap((lease) => Deferred.succeed(found, lease)),
            Effect.andThen(Queue.end(queue))
          )
      )
    )

  const answer = (operation: InferOperation, job: RunningJob, lease: Lease) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const whole = new Answer()
        const stop = client.cancel(lease.port, job.id)
        yield* Effect.addFinalizer(() => (whole.isWhole ? Effect.void : stop))
        yield* job.stopBy(stop)

        const { max_tokens, prompt, temperature, top_k, top_p } = operation
        const pieces = client.complete(lease, job.id, {
          model: lease.model,
          prompt,
          max_tokens,
          temperature,
          top_p,
          top_k
        })
        const toEvent = (piece: CompletionPiece) => {
          whole.add(piece)
          return operation.stream && piece.text !== "" ? JobEvent.token(piece.text) : undefined
        }
        const tokens = pieces.pipe(
          Stream.map(toEvent),
          Stream.filter((event) => event !== undefined)
        )
        return Stream.concat(
          tokens,
          Stream.suspend((): Stream.Stream<JobEvent, WorkerFailed | WorkerRefused> => {
            const { detail, result } = whole
            if (detail !== undefined) {
              return Stream.fail(new WorkerRefused({ worker: lease.id, status: 200, detail }))
            }
            return whole.isWhole ? Stream.make(result) : Stream.fromEffect(Effect.flip(lease.whyGone))
          })
        )
      })
    ).pipe(Stream.catchTag("WorkerGone", () => Stream.fromEffect(Effect.flip(lease.whyGone))))

  return Infer.of({
    run: (operation, job) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const found = yield* Deferred.make<Lease>()
          const narration = yield* seek(operation, job, found)
          const taken = Stream.unwrap(
            Effect.map(Deferred.await(found), (lease) =>
              Stream.concat(
                Stream.make(
                  JobEvent.narration(actor, "infer", `Worker ${lease.id} continues the prompt`, job.id)
                ),
                answer(operation, job, lease)
              )
            )
          )
          return Stream.concat(narration, taken)
        })
      )
  })
})
