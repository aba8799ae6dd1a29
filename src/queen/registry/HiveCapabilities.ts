import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DaemonClient } from "../../daemon/DaemonClient.ts"
import { type CacheNotWritable, CapabilitiesCache } from "../../hives/CapabilitiesCache.ts"
import type { Capability } from "../../hives/Capability.ts"
import type { ConnectionFailed, HiveNotFound, HiveTimeout, InvalidResponse } from "../forward/errors.ts"
import { fromPeer } from "../forward/fromPeer.ts"
import { HiveRegistry } from "./HiveRegistry.ts"

/** Requests the devices of hives and caches them in `capabilities.json`. */
export class HiveCapabilities extends Context.Service<
  HiveCapabilities,
  {
    /** Requests the hive's devices, within `timeouts.submit`, and caches them. */
    readonly refresh: (
      alias: string
    ) => Effect.Effect<
      ReadonlyArray<Capability>,
      CacheNotWritable | ConnectionFailed | HiveNotFound | HiveTimeout | InvalidResponse
    >
    /** Removes the hive from the cache. */
    readonly drop: (alias: string) => Effect.Effect<void, CacheNotWritable>
  }
>()("rbee/queen/registry/HiveCapabilities") {
  static readonly layerNoDeps = Layer.effect(
    HiveCapabilities,
    Effect.gen(function* () {
      const registry = yield* HiveRegistry
      const client = yield* DaemonClient
      const cache = yield* CapabilitiesCache
      return HiveCapabilities.of({
        refresh: Effect.fn("HiveCapabilities.refresh")(function* (alias) {
          const { peer } = yield* registry.find(alias)
          const { devices } = yield* Effect.mapError(client.capabilities(peer), fromPeer(alias))
          yield* cache.put(alias, devices)
          return devices
        }),
        drop: cache.drop
      })
    })
  )
}
