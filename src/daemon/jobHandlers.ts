import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type * as HttpHeaders from "effect/http/Headers"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { requestText } from "../http/readBody.ts"
import { queenHeader } from "../job/client/JobsClient.ts"
import { jobIdHeader } from "../job/JobRecord.ts"
import { Jobs } from "../job/Jobs.ts"
import { type Follower, Ticker } from "../job/log/Follower.ts"
import { OperationRouter } from "../job/OperationRouter.ts"
import { fullView } from "../job/view/FullView.ts"
import { plainView } from "../job/view/PlainView.ts"
import { Settings } from "../settings/Settings.ts"
import { DaemonApi } from "./DaemonApi.ts"
import { InvalidEventId, InvalidIdempotencyKey } from "./errors.ts"
import { MountPath } from "./MountPath.ts"

const eventStream = "text/event-stream"
const streamHeaders = { "cache-control": "no-cache", "x-accel-buffering": "no" }

const EventNumber = Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(0))
const readEventNumber = Schema.decodeUnknownOption(EventNumber)

interface Resume {
  readonly headers: { readonly "last-event-id"?: string }
  readonly query: { readonly after?: string }
}

/** The event after which a follower continues: `Last-Event-ID`, otherwise `?after=`, otherwise 0 (the beginning). */
const resumePoint = ({ headers, query }: Resume) => {
  const value = headers["last-event-id"] ?? query.after ?? ""
  return value === "" ? Option.some(0) : readEventNumber(value)
}

const IdempotencyKey = Schema.String.check(Schema.isPattern(/^[\u0021-\u007e]{1,255}$/))
const isIdempotencyKey = Schema.is(IdempotencyKey)

type View = (follower: Follower, after: number, jobId: string) => Stream.Stream<Uint8Array>

/** The handlers of the job endpoints, the same in a queen and a hive. */
export const jobHandlers = HttpApiBuilder.group(
  DaemonApi,
  "jobs",
  Effect.fn(function* (handlers) {
    const jobs = yield* Jobs
    const operations = yield* OperationRouter
    const { limits, timeouts } = yield* Settings
    const ticker = yield* Ticker
    const mountPath = yield* MountPath

    // Acquired inside the response's stream: the follower is released when that stream ends.
    const streamed = (id: string, render: View, after: number, headers: HttpHeaders.Input = streamHeaders) =>
      HttpServerResponse.stream(
        Stream.unwrap(
          Effect.map(Effect.orDie(jobs.follow(id)), ({ log }) => render({ log, ticker }, after, id))
        ),
        { contentType: eventStream, headers }
      )

    const view = (render: View) =>
      Effect.fnUntraced(function* ({ headers, params: { id }, query }: Resume & { params: { id: string } }) {
        const after = resumePoint({ headers, query })
        if (Option.isNone(after)) return yield* new InvalidEventId()
        yield* jobs.get(id)
        return streamed(id, render, after.value)
      })

    return handlers
      .handleRaw(
        "submit",
        Effect.fnUntraced(function* ({ headers, request }) {
          const key = headers["idempotency-key"]
          if (key !== undefined && !isIdempotencyKey(key)) return yield* new InvalidIdempotencyKey()
          const body = yield* requestText({ limits, timeouts })
          const submission = yield* operations.route(body)
          const { job_id } = yield* jobs.submit({
            ...submission,
            body,
            ...(key === undefined ? {} : { idempotency: { key, body } }),
            // A queen that lost its connection may reconnect to its jobs; it deletes those that it no longer needs.
            ...(headers[queenHeader] === undefined ? {} : { grace: limits.graceRestart })
          })
          if (request.headers["accept"] === eventStream) {
            return streamed(job_id, fullView, 0, { ...streamHeaders, [jobIdHeader]: job_id })
          }
          return HttpServerResponse.jsonUnsafe({ job_id, sse_url: `${mountPath}/v1/jobs/${job_id}/stream` })
        })
      )
      .handle("list", () => Effect.map(jobs.list, (list) => ({ jobs: list })))
      .handle("get", ({ params: { id } }) => jobs.get(id))
      .handle("cancel", ({ params: { id } }) =>
        Effect.as(jobs.cancel(id), { job_id: id, status: "cancelled" } as const)
      )
      .handleRaw("stream", view(plainView))
      .handleRaw("events", view(fullView))
  })
)
