import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type { ApiKey } from "../../access/ApiKey.ts"
import { acquireRelease } from "../../http/scopeFinalizers.ts"
import type { IdempotencyConflict, TooManyJobs } from "../../job/errors.ts"
import { Jobs } from "../../job/Jobs.ts"
import { pullBatches, Ticker } from "../../job/log/Follower.ts"
import { isEnd, JobEvent, type LoggedEvent } from "../../job/log/JobEvent.ts"
import type { Work } from "../../job/Submission.ts"
import { Complete } from "../../operation/inferenceOperations.ts"
import { type Placement, type ServedModel, Upstream } from "../upstream/Upstream.ts"
import type { EndpointRequest, ResponseContext } from "./Endpoint.ts"

/** A request that its sender may make, ready to run. */
export interface AcceptedRequest {
  /** The request with the defaults of its model. */
  readonly request: EndpointRequest
  readonly model: ServedModel
  readonly prompt: string
  readonly key: ApiKey | undefined
  /** Maximum wait for a worker in milliseconds; the value of the settings if undefined. */
  readonly waitMs: number | undefined
}

/** The job of a request. */
export interface RequestJob {
  readonly context: ResponseContext
  /** The next events of the job; an empty batch after about a second without events. Done after the job's end. */
  readonly pull: Pull.Pull<ReadonlyArray<LoggedEvent>>
  /** Only events with a higher id belong to the answer: a lost worker wrote the others, and another one started again. */
  readonly restartedAfter: () => number
}

const router = "gateway"

const withNotes = (notes: ReadonlyArray<string>, work: Work): Work =>
  notes.length === 0
    ? work
    : (job, emit) =>
        Effect.andThen(
          emit(notes.map((note) => JobEvent.narration(router, "omit", note, job.id))),
          work(job, emit)
        )

/** Runs the requests of applications as jobs. */
export class RequestJobs extends Context.Service<
  RequestJobs,
  {
    /** Starts the job of a request. A job that has not ended is cancelled when the scope closes, as the client has left. */
    readonly start: (
      request: AcceptedRequest
    ) => Effect.Effect<RequestJob, IdempotencyConflict | TooManyJobs, Scope.Scope>
  }
>()("rbee/gateway/endpoint/RequestJobs") {
  static readonly layerNoDeps = Layer.effect(
    RequestJobs,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const jobs = yield* Jobs
  const ticker = yield* Ticker
  const upstream = yield* Upstream
  const clock = yield* Clock.Clock
  const { routing } = Complete

  return RequestJobs.of({
    start: Effect.fnUntraced(function* ({ key, model, prompt, request, waitMs }) {
      let placement: Placement | undefined
      let restartedAfter = 0
      let hasEnded = false
      const askedAt = clock.currentTimeMillisUnsafe()
      const work = upstream.complete({
        model,
        api: request.api,
        body: request.body,
        prompt,
        contextSize: request.contextSize,
        isCount: request.isCount,
        key: key?.id ?? "",
        priority: key?.priority ?? 0,
        waitMs,
        isStreamed: request.reply._tag === "Stream",
        onRestarted: (after) => {
          restartedAfter = after
        },
        onPlaced: (found) => {
          placement = found
        }
      })
      const submission = {
        operation: "complete",
        routing,
        router,
        work: withNotes(request.notes ?? [], work)
      }
      const { job_id: jobId } = yield* acquireRelease(jobs.submit(submission), ({ job_id }) =>
        hasEnded ? Effect.void : Effect.ignore(jobs.cancel(job_id))
      )
      const { log } = yield* Effect.orDie(jobs.follow(jobId))
      const noteEnd = (events: ReadonlyArray<LoggedEvent>) => {
        const last = events.at(-1)
        if (last !== undefined && isEnd(last.kind)) hasEnded = true
        return events
      }
      const pull = yield* pullBatches({ log, ticker }, 0, noteEnd)
      const context: ResponseContext = {
        jobId,
        model: request.model,
        askedAt,
        now: () => clock.currentTimeMillisUnsafe(),
        placement: () => placement
      }
      return { context, pull, restartedAfter: () => restartedAfter }
    })
  })
})
