import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { HiveDaemonApi } from "../daemon/DaemonApi.ts"
import { Devices } from "./devices/Devices.ts"
import { HeartbeatSource } from "./Heartbeat.ts"
import { Inventory } from "./Inventory.ts"

/** The handlers of the endpoints that only a hive has. */
export const hiveHttpHandlers = HttpApiBuilder.group(
  HiveDaemonApi,
  "hive",
  Effect.fn(function* (handlers) {
    const { list } = yield* Devices
    const { beat } = yield* HeartbeatSource
    const { snapshot } = yield* Inventory
    const capabilities = Effect.map(list, (devices) => ({ devices }))
    return handlers.handleAll({
      capabilities: () => capabilities,
      olderCapabilities: () => capabilities,
      heartbeat: () => beat,
      inventory: () => snapshot
    })
  })
)
