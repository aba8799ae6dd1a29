import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { Token } from "../../../src/access/Token.ts"
import { DaemonClient } from "../../../src/daemon/DaemonClient.ts"
import { CapabilitiesCache } from "../../../src/hives/CapabilitiesCache.ts"
import { HivesConf } from "../../../src/hives/HivesConf.ts"
import { hivePool } from "../../../src/http/hivePool.ts"
import { HiveCapabilities } from "../../../src/queen/registry/HiveCapabilities.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { Paths } from "../../../src/settings/Paths.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { Pids } from "../../../src/system/Pids.ts"
import { FakeHive } from "../../../src/testing/FakeHive.ts"
import { json } from "../../support/rawAnswers.ts"
import { temporaryFolder } from "../../support/rbee.ts"

const devices = [
  { id: "GPU-0", name: "Fast One", device_type: "gpu", vram_gb: 24, compute_capability: "9.0" },
  { id: "CPU-0", name: "CPU (2 cores)", device_type: "cpu", vram_gb: 1, compute_capability: null }
]

const layerFor = (home: string, port: number) =>
  HiveCapabilities.layerNoDeps.pipe(
    Layer.provide([HiveRegistry.layerNoDeps, DaemonClient.layerNoDeps]),
    Layer.provideMerge(CapabilitiesCache.layer),
    Layer.provide([Pids.layer, hivePool, Token.layerMemory("a token of sixteen and more")]),
    Layer.provide([
      Settings.layerDefaults({ timeouts: { submit: Duration.millis(200) } }),
      HivesConf.layerMemory([
        { aliases: ["atlas"], hostName: "127.0.0.1", port: 22, user: "me", hivePort: port }
      ]),
      Paths.layerAt(home)
    ]),
    Layer.provide(NodeServices.layer)
  )

describe("HiveCapabilities", () => {
  it.live("requests /capabilities of an older hive, only if /v1/capabilities is missing", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const asked: Array<string | undefined> = []
      let status = 404
      const hive = yield* FakeHive.makeRaw((request, response) => {
        asked.push(request.url)
        return request.url === "/capabilities"
          ? json(response, { devices })
          : json(response, { error: { code: "NotFound", message: "no such path" } }, status)
      })
      yield* Effect.gen(function* () {
        const { refresh } = yield* HiveCapabilities
        assert.strictEqual(JSON.stringify(yield* refresh("atlas")), JSON.stringify(devices))
        status = 503
        yield* Effect.flip(refresh("atlas"))
        status = 401
        yield* Effect.flip(refresh("atlas"))
        assert.deepStrictEqual(asked, [
          "/v1/capabilities",
          "/capabilities",
          "/v1/capabilities",
          "/v1/capabilities"
        ])
      }).pipe(Effect.provide(layerFor(home, hive.port)))
    }).pipe(Effect.scoped)
  )

  it.live("caches the devices of a hive, and keeps them when later answers are invalid or missing", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const headers: Array<string | undefined> = []
      let times = 0
      const hive = yield* FakeHive.makeRaw((request, response) => {
        headers.push(request.headers.authorization)
        times++
        if (times === 1) return json(response, { devices })
        if (times === 2) return json(response, { devices: [{ id: "GPU-0" }] })
        if (times === 3) return json(response, { error: { code: "Busy", message: "is busy" } }, 503)
        return
      })
      yield* Effect.gen(function* () {
        const { drop, refresh } = yield* HiveCapabilities
        const { all } = yield* CapabilitiesCache
        const kept = Effect.map(all, (hives) => hives["atlas"]?.devices)
        const refused = Effect.flip(refresh("atlas"))

        assert.strictEqual(JSON.stringify(yield* refresh("atlas")), JSON.stringify(devices))
        assert.strictEqual(JSON.stringify(yield* kept), JSON.stringify(devices))
        assert.strictEqual(headers[0], "Bearer a token of sixteen and more")
        assert.include((yield* refused).message, "sent an unexpected response for /v1/capabilities")
        assert.include((yield* refused).message, "answered 503: is busy")
        assert.deepInclude(yield* refused, { _tag: "HiveTimeout", limit: "submit", seconds: 0.2 })
        assert.strictEqual(JSON.stringify(yield* kept), JSON.stringify(devices))
        yield* drop("atlas")
        assert.isUndefined(yield* kept)

        const unknown = yield* Effect.flip(refresh("nobody"))
        assert.strictEqual(
          unknown.message,
          "Hive 'nobody' not found in configuration; known hives: localhost, atlas"
        )
      }).pipe(Effect.provide(layerFor(home, hive.port)))
    }).pipe(Effect.scoped)
  )
})
