import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { boundUrl } from "../../../src/daemon/DaemonAddress.ts"
import { Hive } from "../../../src/hive/Hive.ts"
import { Queen } from "../../../src/queen/Queen.ts"
import { ask } from "../../support/daemon.ts"
import { pathOf, recordSpans } from "../../support/recordedSpans.ts"
import { until } from "../../support/until.ts"

const chat = JSON.stringify({
  model: "rbee:tiny",
  messages: [{ role: "user", content: "Once" }],
  max_tokens: 4
})

describe("the spans of a request", () => {
  it.live(
    "nest: in submit schedule and forward, in schedule the load, in forward the first token and the stream",
    () =>
      Effect.gen(function* () {
        const { layer: tracing, spans } = recordSpans()
        const services = yield* Layer.build(Layer.provide(Queen.layerTest(), tracing))
        const queen = yield* Effect.provideContext(boundUrl, services)
        yield* Layer.build(Hive.layerTest({ hive: { id: "atlas", queenUrl: queen } }))
        yield* until(ask(queen, { path: "/v1/models" }), ({ text }) => text.includes("rbee:tiny"))

        const answer = yield* ask(queen, { method: "POST", path: "/v1/chat/completions", body: chat })
        assert.strictEqual(answer.status, 200, answer.text)

        const paths = new Set(spans.map(pathOf))
        for (const expected of [
          "POST > Jobs.submit",
          "POST > Jobs.submit > Scheduler.schedule",
          "POST > Jobs.submit > Scheduler.schedule > Loader.load",
          "POST > Jobs.submit > Scheduler.schedule > Loader.load > HiveForwarder.forward",
          "POST > Jobs.submit > HiveForwarder.forward",
          "POST > Jobs.submit > HiveForwarder.forward > HiveForwarder.firstToken",
          "POST > Jobs.submit > HiveForwarder.forward > HiveForwarder.stream"
        ]) {
          assert.isTrue(paths.has(expected), `${expected} is not in:\n${[...paths].join("\n")}`)
        }
        const open = spans.filter(
          ({ name, status }) => name.startsWith("HiveForwarder") && status._tag !== "Ended"
        )
        assert.deepStrictEqual(open.map(pathOf), [])
      })
  )
})
