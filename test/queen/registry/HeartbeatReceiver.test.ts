import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { Token } from "../../../src/access/Token.ts"
import { DaemonClient } from "../../../src/daemon/DaemonClient.ts"
import { HivesConf } from "../../../src/hives/HivesConf.ts"
import { hivePool } from "../../../src/http/hivePool.ts"
import { HeartbeatReceiver } from "../../../src/queen/registry/HeartbeatReceiver.ts"
import { HiveRegistry } from "../../../src/queen/registry/HiveRegistry.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { FakeHive } from "../../../src/testing/FakeHive.ts"
import { json } from "../../support/rawAnswers.ts"

/** A daemon whose hive id a test may change or remove. */
const daemon = (hiveId: string | undefined) =>
  Effect.gen(function* () {
    const state = { hiveId, isUp: true }
    const hive = yield* FakeHive.makeRaw((request, response) => {
      if (!state.isUp) return void request.socket.destroy()
      return state.hiveId === undefined
        ? json(response, { error: { code: "NotFound", message: "no such path" } }, 404)
        : json(response, { hive_id: state.hiveId, workers: [] })
    })
    return { ...hive, state }
  })

/** A receiver with its registry, the logged messages, and how to send a heartbeat. */
const setUp = Effect.fnUntraced(function* (configured: Readonly<Record<string, string>> = {}) {
  const logged: Array<string> = []
  const log = Logger.make(
    ({ message }) => void logged.push(String(Array.isArray(message) ? message[0] : message))
  )
  const entries = Object.entries(configured).map(([alias, url]) => ({
    aliases: [alias],
    hostName: "127.0.0.1",
    port: 22,
    user: "me",
    hivePort: Number(new URL(url).port)
  }))
  const context = yield* Layer.build(
    HeartbeatReceiver.layerNoDeps.pipe(
      Layer.provideMerge(HiveRegistry.layerNoDeps),
      Layer.provide(DaemonClient.layerNoDeps),
      Layer.provide([hivePool, HivesConf.layerMemory(entries), Token.layerMemory()]),
      Layer.provide(Settings.layerDefaults({ hive: { port: 9 } })),
      Layer.provide(NodeServices.layer)
    )
  )
  const registry = yield* Effect.provide(HiveRegistry, context)
  const receiver = yield* Effect.provide(HeartbeatReceiver, context)
  const send = (hive_id: string, url: string, more: object = {}) =>
    receiver
      .receive({ hive_id, url, workers: [], ...more }, "127.0.0.1")
      .pipe(Effect.provide(Logger.layer([log])))
  const recordOf = (alias: string) =>
    Effect.map(registry.list, (hives) => hives.find(({ record }) => record.alias === alias)?.record)
  return { registry, send, recordOf, logged }
})

describe("HeartbeatReceiver", () => {
  it.live("uses an address only if the daemon there confirms the hive id", () =>
    Effect.gen(function* () {
      const { recordOf, registry, send } = yield* setUp()
      const atlas = yield* daemon("atlas")
      const other = yield* daemon("other")
      const old = yield* daemon(undefined)

      yield* send("atlas", atlas.url)
      assert.deepInclude(yield* recordOf("atlas"), { state: "active", url: atlas.url, source: "heartbeat" })
      assert.strictEqual((yield* registry.find("atlas")).peer.url, atlas.url)

      const wrong = {
        boreas: [other.url, `The daemon at ${other.url} is hive 'other', not 'boreas'`],
        castor: [old.url, `The daemon at ${old.url} does not report its hive id`],
        delos: ["http://127.0.0.1:9", "Failed to connect to http://127.0.0.1:9: connection refused"]
      } as const
      for (const [alias, [url, sentence]] of Object.entries(wrong)) {
        yield* send(alias, url)
        const record = yield* recordOf(alias)
        assert.deepInclude(record, { state: "unreachable", url })
        assert.isUndefined(record?.workers)
        assert.include(record?.reason, sentence)
        assert.include(record?.reason, `add '${alias}' to hives.conf`)
        assert.include((yield* Effect.flip(registry.find(alias))).message, sentence)
      }
    })
  )

  it.live("accepts a rejected address with the first heartbeat that the daemon confirms", () =>
    Effect.gen(function* () {
      const { recordOf, send, logged } = yield* setUp()
      const late = yield* daemon("other")
      yield* send("atlas", late.url)
      yield* send("atlas", late.url)
      assert.strictEqual((yield* recordOf("atlas"))?.state, "unreachable")
      assert.deepStrictEqual(logged, ["the address of a heartbeat cannot be used"])
      late.state.hiveId = "atlas"
      yield* send("atlas", late.url)
      assert.strictEqual((yield* recordOf("atlas"))?.state, "active")
    })
  )

  it.live("does not move a hive that answers at its address, and reports both senders", () =>
    Effect.gen(function* () {
      const { recordOf, registry, send, logged } = yield* setUp()
      const first = yield* daemon("twin")
      const second = yield* daemon("twin")
      yield* send("twin", first.url)
      for (let i = 0; i < 3; i++) yield* send("twin", second.url)
      const record = yield* recordOf("twin")
      const sentence = `Two hives send heartbeats as 'twin', from ${first.url} and ${second.url}; give one of them another id (hive.id)`
      assert.deepInclude(record, { state: "active", url: first.url, warning: sentence })
      assert.strictEqual((yield* registry.find("twin")).peer.url, first.url)
      assert.deepStrictEqual(logged, [sentence])
    })
  )

  it.live("reports two senders when neither answers", () =>
    Effect.gen(function* () {
      const { recordOf, send } = yield* setUp()
      yield* send("twin", "http://127.0.0.1:9")
      yield* send("twin", "http://127.0.0.1:19")
      const record = yield* recordOf("twin")
      assert.include(record?.warning, "http://127.0.0.1:9 and http://127.0.0.1:19")
      assert.strictEqual(record?.state, "unreachable")
    })
  )

  it.live("moves a hive that no longer answers at its address, without a warning", () =>
    Effect.gen(function* () {
      const { recordOf, send } = yield* setUp()
      const before = yield* daemon("atlas")
      const after = yield* daemon("atlas")
      yield* send("atlas", before.url)
      before.state.isUp = false
      yield* send("atlas", after.url)
      const record = yield* recordOf("atlas")
      assert.strictEqual(record?.url, after.url)
      assert.notProperty(record, "warning")
    })
  )

  it.live("does not move a configured hive, and treats its heartbeat as a sign of life", () =>
    Effect.gen(function* () {
      const home = yield* daemon("atlas")
      const { recordOf, send } = yield* setUp({ atlas: home.url })
      const elsewhere = yield* daemon("atlas")
      yield* send("atlas", "http://127.0.0.1:9")
      assert.deepInclude(yield* recordOf("atlas"), { state: "active", url: home.url, source: "config" })
      yield* send("atlas", elsewhere.url)
      assert.deepInclude(yield* recordOf("atlas"), { url: home.url, source: "config" })
    })
  )

  it.live("counts a daemon with two aliases once", () =>
    Effect.gen(function* () {
      const atlas = yield* daemon("atlas")
      const { registry, send } = yield* setUp({ tower: atlas.url })
      const boreas = yield* daemon("boreas")
      yield* send("atlas", atlas.url, { instance: "one" })
      yield* send("boreas", boreas.url, { instance: "two" })
      const hives = yield* registry.list
      assert.deepStrictEqual(
        hives.map(({ record, sameAs }) => [record.alias, sameAs, record.same_as]),
        [
          ["localhost", undefined, undefined],
          ["atlas", undefined, undefined],
          ["boreas", undefined, undefined],
          ["tower", "atlas", "atlas"]
        ]
      )
    })
  )

  it.live("treats null as absent, and uses the sender's address if none is given", () =>
    Effect.gen(function* () {
      const { recordOf, send } = yield* setUp()
      const worker = { worker_id: "w", state: "ready", health_status: null, url: null, model_id: null }
      yield* send("atlas", "", { url: null, instance: null, workers: [worker] })
      assert.strictEqual((yield* recordOf("atlas"))?.url, "http://127.0.0.1:8081")
    })
  )
})
