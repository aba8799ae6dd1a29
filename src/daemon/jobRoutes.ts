import * as Effect from "effect/Effect"
import type * as HttpHeaders from "effect/http/Headers"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
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
import { errorResponse, jsonError } from "./httpErrors.ts"

const eventStream = "text/event-stream"
const streamHeaders = { "cache-control": "no-cache", "x-accel-buffering": "no" }

const EventNumber = Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(0))
const readEventNumber = Schema.decodeUnknownOption(EventNumber)

/** The event after which a follower goes on: `Last-Event-ID`, else `?after=`, else from the beginning. */
const resumePoint = (request: HttpServerRequest.HttpServerRequest) => {
  const [, query = ""] = request.url.split("?", 2)
  const given = request.headers["last-event-id"] ?? new URLSearchParams(query).get("after")
  return given === null || given === undefined || given === "" ? Option.some(0) : readEventNumber(given)
}

const IdempotencyKey = Schema.String.check(Schema.isPattern(/^[\u0021-\u007e]{1,255}$/))
const isIdempotencyKey = Schema.is(IdempotencyKey)

const badKey = jsonError(
  400,
  "InvalidIdempotencyKey",
  "Idempotency-Key must be 1 to 255 visible ASCII characters"
)
const badResumePoint = jsonError(
  400,
  "InvalidEventId",
  "Last-Event-ID and ?after= must be the number of an event"
)

type View = (follower: Follower, after: number, jobId: string) => Stream.Stream<Uint8Array>

/** The routes of jobs, the same for a queen and a hive: design.md, section 3. */
export const jobRoutes = HttpRouter.use(
  Effect.fn(function* (router) {
    const jobs = yield* Jobs
    const operations = yield* OperationRouter
    const { limits, timeouts } = yield* Settings
    const pulse = yield* Ticker

    // The follower leaves when the response's stream ends, so it must come inside of it.
    const streamed = (id: string, render: View, after: number, headers: HttpHeaders.Input = streamHeaders) =>
      HttpServerResponse.stream(
        Stream.unwrap(
          Effect.map(Effect.orDie(jobs.follow(id)), ({ log }) => render({ log, pulse }, after, id))
        ),
        { contentType: eventStream, headers }
      )

    const submit = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const key = request.headers["idempotency-key"]
      if (key !== undefined && !isIdempotencyKey(key)) return badKey
      const body = yield* requestText({ limits, timeouts })
      const submission = yield* operations.route(body)
      const { job_id } = yield* jobs.submit({
        ...submission,
        ...(key === undefined ? {} : { idempotency: { key, body } }),
        // A queen that vanished may come back for its work; what it no longer wants, it deletes.
        ...(request.headers[queenHeader] === undefined ? {} : { grace: limits.graceRestart })
      })
      if (request.headers["accept"] === eventStream) {
        return streamed(job_id, fullView, 0, { ...streamHeaders, [jobIdHeader]: job_id })
      }
      return HttpServerResponse.jsonUnsafe({ job_id, sse_url: `/v1/jobs/${job_id}/stream` })
    })

    const view = (render: View) =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const { id = "" } = yield* HttpRouter.params
        const after = resumePoint(request)
        if (Option.isNone(after)) return badResumePoint
        yield* jobs.get(id)
        return streamed(id, render, after.value)
      })

    const withId = <A, E, R>(use: (id: string) => Effect.Effect<A, E, R>) =>
      Effect.flatMap(HttpRouter.params, ({ id = "" }) => use(id))

    const answering = Effect.catch(errorResponse)

    yield* router.add("POST", "/v1/jobs", answering(submit))
    yield* router.add("GET", "/v1/jobs/:id/stream", answering(view(plainView)))
    yield* router.add("GET", "/v1/jobs/:id/events", answering(view(fullView)))
    yield* router.add(
      "GET",
      "/v1/jobs",
      Effect.map(jobs.list, (list) => HttpServerResponse.jsonUnsafe({ jobs: list }))
    )
    yield* router.add(
      "GET",
      "/v1/jobs/:id",
      answering(withId((id) => Effect.map(jobs.get(id), (record) => HttpServerResponse.jsonUnsafe(record))))
    )
    yield* router.add(
      "DELETE",
      "/v1/jobs/:id",
      answering(
        withId((id) =>
          Effect.as(jobs.cancel(id), HttpServerResponse.jsonUnsafe({ job_id: id, status: "cancelled" }))
        )
      )
    )
  })
)
