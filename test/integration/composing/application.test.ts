import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Path, Schema } from "effect"
import { HttpClient, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { boundUrl, DaemonAddress } from "../../../src/daemon/DaemonAddress.ts"
import { Hive } from "../../../src/hive/Hive.ts"
import { handle } from "../../../src/job/Handlers.ts"
import { Jobs } from "../../../src/job/Jobs.ts"
import { withNarration } from "../../../src/job/withNarration.ts"
import { queenQuery } from "../../../src/operation/Routing.ts"
import { Queen } from "../../../src/queen/Queen.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { ask } from "../../support/daemon.ts"
import { until } from "../../support/until.ts"

const text = (url: string) =>
  HttpClient.get(url).pipe(
    Effect.flatMap((response) => response.text),
    Effect.provide(NodeHttpClient.layerUndici)
  )

/** An application with one route and an HTTP server of its own, which also runs a queen. */
const application = HttpRouter.serve(
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const queen = yield* boundUrl
      yield* router.add("GET", "/where", HttpServerResponse.text(queen))
    })
  ),
  { disableListenLog: true, disableLogger: true }
).pipe(
  Layer.provide(Queen.layerTest()),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
)

describe("an application that runs a queen", () => {
  it.live("keeps its own HTTP server: the queen's is not provided", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(application)
      const own = HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address)
      const queen = yield* text(`${own}/where`)
      assert.notStrictEqual(queen, own)
      assert.strictEqual((yield* ask(queen, { path: "/health" })).status, 200)
      assert.strictEqual((yield* ask(own, { path: "/health" })).status, 404)
    })
  )

  it.live("gets only the services that the layer exports", () =>
    Effect.gen(function* () {
      const context = Context.merge(yield* Layer.build(Queen.layerTest()), Context.empty())
      assert.isTrue(Context.getOption(context, DaemonAddress)._tag === "Some")
      assert.isTrue(Context.getOption(context, Jobs)._tag === "Some")
      for (const hidden of [HttpServer.HttpServer, Settings, Path.Path, HttpClient.HttpClient]) {
        assert.isFalse(context.mapUnsafe.has(hidden.key), hidden.key)
      }
    })
  )
})

class Count extends Schema.Class<Count>("Count")({
  operation: Schema.tag("count"),
  text: Schema.String
}) {
  static readonly routing = queenQuery
}

const counter = handle(Count, ({ text }, job, emit) =>
  withNarration(job, emit, "counter", () => Effect.succeed({ characters: text.length }))
)

describe("layerTest", () => {
  it.live("answers an operation of the application's own", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(Layer.provideMerge(counter, Queen.layerTest()))
      const queen = yield* Effect.provideContext(boundUrl, context)
      const { text } = yield* ask(queen, {
        method: "POST",
        path: "/v1/jobs",
        headers: { accept: "text/event-stream" },
        body: `{"operation":"count","text":"rbee"}`
      })
      assert.include(text, `event: result\ndata: {"characters":4}`)
    })
  )

  it.live("starts a queen and a hive on free ports, which find each other", () =>
    Effect.gen(function* () {
      const queen = yield* Effect.provideContext(boundUrl, yield* Layer.build(Queen.layerTest()))
      yield* Layer.build(Hive.layerTest({ hive: { id: "atlas", queenUrl: queen } }))
      const listed = yield* until(ask(queen, { path: "/v1/models" }), ({ text }) =>
        text.includes("rbee:tiny")
      )
      assert.strictEqual(listed.status, 200)
    })
  )
})
