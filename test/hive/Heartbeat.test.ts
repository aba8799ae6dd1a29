import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { Token } from "../../src/access/Token.ts"
import { DaemonAddress } from "../../src/daemon/DaemonAddress.ts"
import { DaemonClient } from "../../src/daemon/DaemonClient.ts"
import { heartbeat, HeartbeatSource, shouldLogFailure } from "../../src/hive/Heartbeat.ts"
import { Workers } from "../../src/hive/workers/Workers.ts"
import { PeerRefused } from "../../src/job/client/clientErrors.ts"
import { Settings } from "../../src/settings/Settings.ts"
import { reachableUrl } from "../../src/system/reachableUrl.ts"

/** A queen that answers with the status, and what she and the log were told, with the seconds at which. */
const beating = Effect.fnUntraced(function* (status: () => number) {
  const beats: Array<number> = []
  const told: Array<string> = []
  const client = Layer.mock(DaemonClient)({
    sendHeartbeat: ({ url }) =>
      Effect.gen(function* () {
        beats.push((yield* Clock.currentTimeMillis) / 1000)
        if (status() !== 200) return yield* new PeerRefused({ url, status: status(), detail: "refused" })
      })
  })
  const log = Logger.make(
    ({ message }) => void told.push(String(Array.isArray(message) ? message[0] : message))
  )
  yield* Layer.build(
    heartbeat.pipe(
      Layer.provide(HeartbeatSource.layerNoDeps),
      Layer.provide([
        client,
        Layer.succeed(DaemonAddress, { url: "http://127.0.0.1:8081", port: 8081 }),
        Layer.mock(Workers)({ list: Effect.succeed([]) }),
        Settings.layerDefaults(),
        Token.layerMemory(),
        Logger.layer([log])
      ])
    )
  )
  return { beats, told }
})

describe("Heartbeat", () => {
  it("names an address that the queen can reach", () => {
    assert.strictEqual(reachableUrl("127.0.0.1", 8081, false), "http://127.0.0.1:8081")
    assert.strictEqual(reachableUrl("192.0.2.7", 9000, false), "http://192.0.2.7:9000")
    assert.strictEqual(reachableUrl("2001:db8::7", 9000, false), "http://[2001:db8::7]:9000")
    assert.strictEqual(reachableUrl("0.0.0.0", 9000, true), "http://127.0.0.1:9000")
    assert.notInclude(reachableUrl("0.0.0.0", 9000, false), "0.0.0.0")
  })

  it.effect("are sent at once and every 5 s; an unreachable queen is logged less and less often", () =>
    Effect.gen(function* () {
      let status = 200
      const { beats, told } = yield* beating(() => status)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(beats, [0])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(beats, [0, 5, 10])
      assert.deepStrictEqual(told, [])
      status = 500
      yield* TestClock.adjust("50 seconds")
      assert.lengthOf(beats, 13)
      assert.deepStrictEqual(
        told,
        Array.from({ length: 4 }, () => "the queen did not accept a heartbeat")
      )
      status = 200
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(told.at(-1), "the queen accepts heartbeats again")
      assert.lengthOf(told, 5)
    })
  )

  it("logs failures less and less often", () => {
    const told = Array.from({ length: 200 }, (_, index) => index + 1).filter(shouldLogFailure)
    assert.deepStrictEqual(told, [1, 2, 4, 8, 16, 32, 64, 128, 192])
  })
})
