import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { MockFaults } from "./MockFaults.ts"
import { parseMode } from "./MockMode.ts"

const maxBody = ByteSize.bytes(10_000)

const invalid = (message: string) =>
  HttpServerResponse.jsonUnsafe(
    { error: { code: "InvalidMockMode", message, type: "invalid_request_error", param: "mode" } },
    { status: 400 }
  )

const readMode = HttpServerRequest.HttpServerRequest.pipe(
  Effect.flatMap(({ text }) => Effect.provideService(text, HttpIncomingMessage.MaxBodySize, maxBody)),
  Effect.flatMap((text) => Effect.fromResult(parseMode(text)))
)

/** Decides who may read and set the mode: passes the answer on, or gives another. */
export type Access = <E, R>(
  respond: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest>

/** `GET /mock/mode` reports the mode and counts requests and faults; `PUT /mock/mode` sets it and reports the same. */
export const addModeRoutes = Effect.fnUntraced(function* (access: Access) {
  const router = yield* HttpRouter.HttpRouter
  const faults = yield* MockFaults
  const report = Effect.sync(() => HttpServerResponse.jsonUnsafe(faults.report()))
  const change = readMode.pipe(
    Effect.tap((mode) => Effect.sync(() => faults.set(mode))),
    Effect.andThen(report),
    Effect.catchTags({
      HttpServerError: () =>
        Effect.succeed(invalid("The mode could not be read; send at most 10 kB of text")),
      InvalidMockMode: ({ message }) => Effect.succeed(invalid(message))
    })
  )
  yield* router.add("GET", "/mock/mode", access(report))
  yield* router.add("PUT", "/mock/mode", access(change))
})
