import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { Capabilities } from "../hives/Capability.ts"
import { Devices } from "./devices/Devices.ts"
import { HeartbeatSource } from "./Heartbeat.ts"
import { encodeInventory, Inventory } from "./Inventory.ts"

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

    // For a queen that this hive cannot reach with its beats.
    const { beat } = yield* HeartbeatSource
    yield* router.add("GET", "/v1/heartbeat", Effect.map(beat, HttpServerResponse.jsonUnsafe))

    const { snapshot: take } = yield* Inventory
    const inventory = Effect.map(take, (found) => HttpServerResponse.jsonUnsafe(encodeInventory(found)))
    yield* router.add("GET", "/v1/inventory", inventory)
  })
)
