import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { QueenDaemonApi } from "../daemon/DaemonApi.ts"
import { InvalidHeartbeat } from "../daemon/errors.ts"
import { requestText } from "../http/readBody.ts"
import { brokenJson } from "../operation/brokenJson.ts"
import { Heartbeat } from "../operation/Heartbeat.ts"
import { Settings } from "../settings/Settings.ts"
import { HeartbeatReceiver } from "./registry/HeartbeatReceiver.ts"

const readHeartbeat = Schema.decodeEffect(Schema.fromJsonString(Heartbeat))

/** The handlers of the endpoints that only a queen has. */
export const queenHttpHandlers = HttpApiBuilder.group(
  QueenDaemonApi,
  "queen",
  Effect.fn(function* (handlers) {
    const heartbeats = yield* HeartbeatReceiver
    const settings = yield* Settings
    return handlers.handleRaw(
      "heartbeat",
      Effect.fnUntraced(function* ({ request }) {
        const text = yield* requestText(settings)
        const heartbeat = yield* Effect.mapError(readHeartbeat(text), ({ message }) => {
          const broken = brokenJson(text)
          return new InvalidHeartbeat({ reason: broken === undefined ? message : `invalid JSON: ${broken}` })
        })
        const sender = Option.getOrElse(request.remoteAddress, () => "127.0.0.1")
        yield* heartbeats.receive(heartbeat, sender.replace(/^::ffff:/, ""))
        return { status: "ok", message: `Heartbeat received from ${heartbeat.hive_id}` } as const
      })
    )
  })
)
