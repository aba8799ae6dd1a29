import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import { Settings } from "../config/Settings.ts"
import { errorResponse, refusal } from "../job/httpErrors.ts"
import { Heartbeat, HiveRegistry } from "./HiveRegistry.ts"

/** The routes that only a queen has. */
export const queenRoutes = HttpRouter.use(
  Effect.fn(function* (router) {
    const registry = yield* HiveRegistry
    const { limits } = yield* Settings

    const heartbeat = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const beat = yield* HttpServerRequest.schemaBodyJson(Heartbeat).pipe(
        Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(limits.bodyBytes))
      )
      const sender = Option.getOrElse(request.remoteAddress, () => "127.0.0.1")
      yield* registry.beat(beat, sender.replace(/^::ffff:/, ""))
      return HttpServerResponse.jsonUnsafe({
        status: "ok",
        message: `Heartbeat received from ${beat.hive_id}`
      })
    }).pipe(
      Effect.catchTags({
        SchemaError: ({ message }) =>
          Effect.succeed(refusal(400, "InvalidHeartbeat", `Invalid heartbeat: ${message}`)),
        HttpServerError: errorResponse
      })
    )

    yield* router.add("POST", "/v1/heartbeat", heartbeat)
  })
)
