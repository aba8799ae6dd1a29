import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Schema, Scope, Stream } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { endStreams } from "../../../src/daemon/Daemon.ts"
import { DaemonAddress } from "../../../src/daemon/DaemonAddress.ts"
import { Hive } from "../../../src/hive/Hive.ts"
import { hivePool } from "../../../src/http/hivePool.ts"
import { JobsClient } from "../../../src/job/client/JobsClient.ts"
import { decodeEvents } from "../../../src/job/Event.ts"
import { handle } from "../../../src/job/Handlers.ts"
import { queenCommand } from "../../../src/operation/Routing.ts"
import { Queen } from "../../../src/queen/Queen.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { ask } from "../../support/daemon.ts"
import { until } from "../../support/until.ts"

const ownRoute = HttpRouter.add("GET", "/hello", HttpServerResponse.text("hello from the application"))

/** An application with a route of its own, its routes on its server. */
const serving = <A, E, R>(routes: Layer.Layer<A, E, R>, host = "127.0.0.1") =>
  HttpRouter.serve(Layer.provideMerge(ownRoute, routes), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { host, port: 0 })))

const addressOf = (context: Context.Context<HttpServer.HttpServer>) =>
  HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address)

const client = JobsClient.layerNoDeps.pipe(Layer.provide(hivePool), Layer.provide(Settings.layerDefaults()))

const chat = JSON.stringify({
  model: "rbee:tiny",
  messages: [{ role: "user", content: "Once" }],
  max_tokens: 4
})

describe("a queen on an application's own router", () => {
  it.live("serves its endpoints below its path, and no others", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(serving(Queen.routesTest("/llm")))
      const app = addressOf(context)
      assert.strictEqual(Context.get(context, DaemonAddress).url, `${app}/llm`)
      assert.strictEqual((yield* ask(app, { path: "/hello" })).text, "hello from the application")
      assert.strictEqual((yield* ask(app, { path: "/llm/health" })).text, "ok")
      assert.strictEqual((yield* ask(app, { path: "/llm" })).text, "rbee is running")
      assert.deepInclude(yield* ask(app, { path: "/health" }), { status: 404, text: "" })
      const missing = yield* ask(app, { path: "/llm/nothing" })
      assert.strictEqual(missing.status, 404)
      assert.include(missing.text, `{"error":{"code":"NotFound"`)
      const openAi = yield* ask(app, { path: "/llm/v1/nothing" })
      assert.include(openAi.text, `"type":"invalid_request_error"`)
      assert.include((yield* ask(app, { path: "/llm/openapi.json" })).text, `"servers":[{"url":"/llm"}]`)
    })
  )

  it.live("gives the address of a job's stream with the path", () =>
    Effect.gen(function* () {
      const app = addressOf(yield* Layer.build(serving(Queen.routesTest("/llm"))))
      const submitted = yield* ask(app, {
        method: "POST",
        path: "/llm/v1/jobs",
        body: `{"operation":"hive_list"}`
      })
      const { sse_url } = yield* Schema.decodeUnknownEffect(
        Schema.fromJsonString(Schema.Struct({ sse_url: Schema.String }))
      )(submitted.text)
      assert.match(sse_url, /^\/llm\/v1\/jobs\/job-[0-9a-f-]+\/stream$/)
      const streamed = yield* ask(app, { path: sse_url })
      assert.isTrue(streamed.text.endsWith("data: [DONE]\n\n"), streamed.text)
    })
  )

  it.live("runs operations and chats for clients whose base URL has the path", () =>
    Effect.gen(function* () {
      const url = `${addressOf(yield* Layer.build(serving(Queen.routesTest("/llm"))))}/llm`
      yield* Layer.build(Hive.layerTest({ hive: { id: "atlas", queenUrl: url } }))
      yield* until(ask(url, { path: "/llm/v1/models" }), ({ text }) => text.includes("rbee:tiny"))

      const jobs = yield* JobsClient
      const id = yield* jobs.submit({ url }, `{"operation":"model_list","hive_id":"atlas"}`)
      const events = yield* Stream.runCollect(decodeEvents(jobs.events({ url }, id)))
      const [result] = events.flatMap((event) => (event._tag === "Result" ? [event.data] : []))
      assert.include(JSON.stringify(result), `"id":"rbee:tiny"`)
      assert.strictEqual(events.at(-1)?._tag, "Done")

      const answer = yield* ask(url, {
        method: "POST",
        path: "/llm/v1/chat/completions",
        headers: { "content-type": "application/json" },
        body: chat
      })
      assert.strictEqual(answer.status, 200, answer.text)
      assert.include(answer.text, `"object":"chat.completion"`)
    }).pipe(Effect.provide(client))
  )

  it.live("does not start without a token on a server that other machines reach", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Layer.build(serving(Queen.routesTest("/llm"), "0.0.0.0")))
      assert.include(JSON.stringify(exit), `"BindRefused"`)
    })
  )

  it.live("takes no path that a router would read as a pattern", () =>
    Effect.gen(function* () {
      for (const prefix of ["/", "/llm/", "/:id", "/*", "/a//b"] as const) {
        const exit = yield* Effect.exit(Layer.build(serving(Queen.routesTest(prefix))))
        assert.include(JSON.stringify(exit), `"InvalidPrefix"`, prefix)
      }
    })
  )
})

describe("a hive on an application's own router", () => {
  it.live("is found by the queen beside it under the address with its path", () =>
    Effect.gen(function* () {
      const server = yield* Layer.build(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
      const app = addressOf(server)
      const routes = Layer.merge(
        Queen.routesTest("/llm"),
        Hive.routesTest("/hive", { hive: { id: "atlas", queenUrl: `${app}/llm` } })
      )
      yield* Effect.provideContext(
        Layer.build(HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true })),
        server
      )
      const listed = yield* until(ask(app, { path: "/llm/v1/models" }), ({ text }) =>
        text.includes("rbee:tiny")
      )
      assert.strictEqual(listed.status, 200)
      assert.include((yield* ask(app, { path: "/hive/v1/heartbeat" })).text, `"hive_id":"atlas"`)
    })
  )
})

class Wait extends Schema.Class<Wait>("Wait")({ operation: Schema.tag("wait") }) {
  static readonly routing = queenCommand
}

describe("an application that stops", () => {
  it.live("ends the streams of the queen's jobs before its server closes", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const started = yield* Deferred.make<void>()
      const waiting = handle(Wait, () => Effect.andThen(Deferred.succeed(started, undefined), Effect.never))
      const app = Layer.provideMerge(Layer.merge(endStreams, waiting), serving(Queen.routesTest("/llm")))
      const url = addressOf(yield* Scope.provide(Layer.build(app), scope))
      const streaming = yield* Effect.forkChild(
        ask(url, {
          method: "POST",
          path: "/llm/v1/jobs",
          headers: { accept: "text/event-stream" },
          body: `{"operation":"wait"}`
        })
      )
      yield* Deferred.await(started)
      yield* Scope.close(scope, Exit.void)
      assert.include((yield* Fiber.join(streaming)).text, "event: cancelled\n")
    })
  )
})
