import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import { firstEvents, framesOf, isEvent, silentAfter } from "./frames.ts"
import { MockFaults } from "./MockFaults.ts"
import { MockMode } from "./MockMode.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

const eventPaths = /^\/v1\/jobs\/[^/]+\/(?:events|stream)$/
const otherPosts = /^\/(?:mock\/|v1\/shutdown$)/

/** Whether faults may hit the request: it gives work, or follows a job. Health checks and the like are always answered. */
const isWork = ({ method, url }: Request) => {
  const [path = ""] = url.split("?", 1)
  return method === "POST" ? !otherPosts.test(path) : eventPaths.test(path)
}

// What was written before must leave the process before the connection is closed.
const flushTime = "20 millis"

/** Closes the connection of a request, in the middle of whatever is sent. */
const dropConnection = (request: Request) =>
  Effect.sleep(flushTime).pipe(
    Effect.andThen(Effect.sync(() => NodeHttpServerRequest.toServerResponse(request).destroy())),
    Effect.andThen(Effect.never)
  )

const unfinishedJson = '{"unfinished":'

const withFrames = (
  response: Response,
  change: (frames: Stream.Stream<string, unknown>) => Stream.Stream<string, unknown>
) =>
  response.body._tag === "Stream"
    ? HttpServerResponse.setBody(
        response,
        HttpBody.stream(
          Stream.encodeText(change(framesOf(response.body.stream))),
          response.headers["content-type"]
        )
      )
    : response

/** The answer up to the event `count`, and then what `end` does. */
const cutAfter = (response: Response, count: number, end: Stream.Stream<string, unknown>) =>
  withFrames(response, (frames) => Stream.concat(firstEvents(frames, count), end))

const failure = ({ every, status }: typeof MockMode.cases.flaky.Type) =>
  HttpServerResponse.jsonUnsafe(
    {
      error: {
        code: "mock_fault",
        message: `Injected fault: one of ${every} requests fails (mode flaky)`,
        type: "server_error",
        param: null
      }
    },
    { status }
  )

/** How long a body of this length takes at the speed of a slow reader; a body of unknown length counts as one byte. */
const readingMillis = (request: Request, bytesPerSecond: number) =>
  (Math.max(1, Number(request.headers["content-length"] ?? 1)) / bytesPerSecond) * 1000

/** Answers a request in a mode. `garbage` is the event that a client cannot read. */
const answerIn = <E, R>(
  mode: MockMode,
  request: Request,
  respond: Effect.Effect<Response, E, R>,
  garbage: string
) =>
  MockMode.match(mode, {
    ok: () => respond,
    "wrong-model": () => respond,
    slow: ({ delay_ms }) =>
      Effect.map(Effect.delay(respond, delay_ms), (response) =>
        withFrames(
          response,
          Stream.mapEffect((frame) =>
            isEvent(frame) ? Effect.as(Effect.sleep(delay_ms), frame) : Effect.succeed(frame)
          )
        )
      ),
    hang: ({ after }) =>
      after === 0
        ? Effect.never
        : Effect.map(respond, (response) => withFrames(response, (frames) => silentAfter(frames, after))),
    flaky: (flaky) => Effect.succeed(failure(flaky)),
    drop: ({ after }) =>
      after === 0
        ? dropConnection(request)
        : Effect.map(respond, (response) =>
            cutAfter(response, after, Stream.fromEffect(dropConnection(request)))
          ),
    malformed: ({ after }) =>
      Effect.map(respond, (response) => {
        if (response.body._tag === "Stream") {
          return after === 0
            ? withFrames(response, () => Stream.make(garbage))
            : cutAfter(response, after, Stream.make(garbage))
        }
        return after === 0
          ? HttpServerResponse.setBody(response, HttpBody.text(unfinishedJson, "application/json"))
          : response
      }),
    "slow-reader": ({ bytes_per_second }) => Effect.delay(respond, readingMillis(request, bytes_per_second))
  })

// A server does not interrupt its middlewares, but a request that hangs must end with its connection.

/** Injects the faults of `MockFaults` into the answers of a server. `garbage` is an event that its clients cannot read. */
export const injectFaults = (garbage: string) =>
  HttpRouter.middleware(
    Effect.map(
      MockFaults,
      (faults) => (respond) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
          isWork(request) ? Effect.interruptible(answerIn(faults.next(), request, respond, garbage)) : respond
        )
    ),
    { global: true }
  )
