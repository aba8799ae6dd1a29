import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { MountPath } from "../../src/daemon/MountPath.ts"
import { mountedSettings } from "../../src/queen/mountedSettings.ts"
import { Settings } from "../../src/settings/Settings.ts"

const serverAt = (address: NetAddress.SocketAddress) =>
  Layer.succeed(HttpServer.HttpServer, HttpServer.make({ address, serve: () => Effect.void }))

const settingsOn = (address: NetAddress.SocketAddress) =>
  Effect.all([Settings, MountPath]).pipe(
    Effect.map(([{ queen }, path]) => ({ ...queen, path })),
    Effect.provide(
      Layer.provide(mountedSettings("/llm"), [
        serverAt(address),
        Settings.layerDefaults({ queen: { host: "127.0.0.1", port: 8500 } })
      ])
    )
  )

describe("the settings of a mounted queen", () => {
  it.effect("have the address of the application's server", () =>
    Effect.gen(function* () {
      const v4 = yield* Effect.fromResult(NetAddress.inetAddressFromIpString("192.0.2.7", 3000))
      assert.deepStrictEqual(yield* settingsOn(v4), { host: "192.0.2.7", port: 3000, path: "/llm" })
      const v6 = yield* Effect.fromResult(NetAddress.inetAddressFromIpString("::1", 3000))
      assert.deepStrictEqual(yield* settingsOn(v6), { host: "::1", port: 3000, path: "/llm" })
    })
  )

  it.effect("keep the queen's own address for a server on a Unix socket", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* settingsOn(NetAddress.unixPathAddress("/tmp/app.sock")), {
        host: "127.0.0.1",
        port: 8500,
        path: "/llm"
      })
    })
  )
})
