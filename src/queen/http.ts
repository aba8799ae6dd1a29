import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { errorResponse, jsonError } from "../daemon/httpErrors.ts"
import { requestText } from "../http/readBody.ts"
import { Settings } from "../settings/Settings.ts"
import { HeartbeatReceiver } from "./registry/HeartbeatReceiver.ts"
import { Heartbeat } from "./registry/HiveRegistry.ts"

const readBeat = Schema.decodeEffect(Schema.fromJsonString(Heartbeat))

/** The routes that only a queen has. */
export const queenRoutes = HttpRouter.use(
  Effect.fn(function* (router) {
    const heartbeats = yield* HeartbeatReceiver
    const { limits, timeouts } = yield* Settings

    const heartbeat = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const beat = yield* Effect.flatMap(requestText({ limits, timeouts }), readBeat)
      const sender = Option.getOrElse(request.remoteAddress, () => "127.0.0.1")
      yield* heartbeats.receive(beat, sender.replace(/^::ffff:/, ""))
      return HttpServerResponse.jsonUnsafe({
        status: "ok",
        message: `Heartbeat received from ${beat.hive_id}`
      })
    }).pipe(
      Effect.catch((error) =>
        error._tag === "SchemaError"
          ? Effect.succeed(jsonError(400, "InvalidHeartbeat", `Invalid heartbeat: ${error.message}`))
          : errorResponse(error)
      )
    )

    yield* router.add("POST", "/v1/heartbeat", heartbeat)
  })
)
