import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { Capabilities, Devices } from "./Devices.ts"

const encode = Schema.encodeSync(Capabilities)

/** The routes that only a hive has. */
export const hiveRoutes = HttpRouter.use(
  Effect.fn(function* (router) {
    const devices = yield* Devices
    const capabilities = Effect.map(devices.list, (list) =>
      HttpServerResponse.jsonUnsafe(encode({ devices: list }))
    )
    yield* router.add("GET", "/v1/capabilities", capabilities)
    yield* router.add("GET", "/capabilities", capabilities)
  })
)
