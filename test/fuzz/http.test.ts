import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { boundUrl } from "../../src/daemon/DaemonAddress.ts"
import { app } from "../../src/worker/http.ts"
import { mockEngine } from "../../src/worker/mock/mockEngine.ts"
import { Replays } from "../../src/worker/Replays.ts"
import { Requests } from "../../src/worker/Requests.ts"
import { Served } from "../../src/worker/Served.ts"
import { ask } from "../support/daemon.ts"
import { anyJson, fuzz, fuzzTimeout, mutated } from "../support/fuzz.ts"
import { hiveLayer, temporaryHome } from "../support/hive.ts"
import { queenLayer } from "../support/queen.ts"
import type { Random } from "../support/Random.ts"

/** No request names a model that exists on a hive or an operation that starts a process. */
const bodies = [
  { operation: "status" },
  { operation: "hive_list" },
  { operation: "worker_list", hive_id: "nowhere" },
  { operation: "infer", hive_id: "nowhere", model: "none", prompt: "a", max_tokens: 1, temperature: 0 },
  { operation: "explain", model: "none" },
  { model: "none", messages: [{ role: "user", content: "a" }], max_tokens: 1, stream: true },
  { model: "none", prompt: "a", max_tokens: 1, stop: ["b"] },
  { model: "none", input: ["a"], dimensions: 2 },
  {
    model: "none",
    max_tokens: 1,
    system: "s",
    messages: [{ role: "user", content: [{ type: "text", text: "a" }] }]
  },
  { hive_id: "x", timestamp: "1970-01-01T00:00:00Z", workers: [] }
].map((body) => JSON.stringify(body))

const paths = [
  "/v1/jobs",
  "/v1/jobs/job-1/events?after=3",
  "/v1/jobs/job-1/stream",
  "/v1/heartbeat",
  "/v1/capabilities",
  "/v1/inventory",
  "/v1/build-info",
  "/health",
  "/openapi.json",
  "/v1/models",
  "/v1/models/none",
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/responses",
  "/v1/messages",
  "/v1/messages/count_tokens",
  "/v1/requests/abc",
  "/api/chat",
  "/api/generate",
  "/api/show",
  "/api/tags",
  "/api/embed"
]

const headerNames = [
  "accept",
  "content-type",
  "content-encoding",
  "idempotency-key",
  "last-event-id",
  "origin",
  "authorization",
  "x-request-id",
  "anthropic-version",
  "x-rbee-deadline-ms"
]
const headerValues = [
  "text/event-stream",
  "application/json",
  "gzip",
  "1",
  "-1",
  "",
  "Bearer x",
  "2023-06-01",
  "http://evil.example",
  "9".repeat(300)
]

// Node's client refuses other characters before it sends them.
const sendable = (text: string) => text.replaceAll(/[^\u0021-\u007e]/g, "%0a")

const requestOf = (random: Random) => {
  const method = random.pick(["GET", "POST", "POST", "POST", "DELETE", "PUT", "OPTIONS", "HEAD"])
  const path = random.chance(0.7) ? random.pick(paths) : `/${sendable(mutated(random, paths))}`
  const headers: Record<string, string> = {}
  for (let left = random.whole(0, 2); left > 0; left--)
    headers[random.pick(headerNames)] = random.pick(headerValues)
  const body = random.chance(0.4) ? random.pick(bodies) : mutated(random, bodies)
  const changed = random.chance(0.3)
    ? JSON.stringify({
        ...JSON.parse(random.pick(bodies)),
        [random.pick([
          "model",
          "messages",
          "prompt",
          "input",
          "stream",
          "operation",
          "hive_id",
          "max_tokens"
        ])]: anyJson(random)
      })
    : body
  return method === "GET" || method === "HEAD"
    ? { method, path, headers }
    : { method, path, headers, body: changed }
}

/** Whatever comes, there is an answer within five seconds, which is no defect (500 without a body), and the server is well. */
const isRobust = Effect.fnUntraced(function* (target: string, url: string) {
  yield* fuzz(target, 200, (random) =>
    Effect.gen(function* () {
      const request = requestOf(random)
      const { status, text } = yield* ask(url, { ...request, within: "5 seconds" })
      const shown = `${status} ${text.slice(0, 300)} to ${JSON.stringify(request)}`
      assert.isFalse(status === 500 && (text === "" || /defect|TypeError|RangeError/.test(text)), shown)
      assert.isBelow(status, 600, shown)
    })
  )
  assert.strictEqual((yield* ask(url, { path: "/health" })).status, 200)
})

describe("the HTTP API", () => {
  it.live(
    "of a queen answers whatever comes",
    () =>
      Effect.gen(function* () {
        const home = yield* temporaryHome
        const url = yield* Effect.provideContext(boundUrl, yield* Layer.build(queenLayer({ home })))
        yield* isRobust("queen", url)
      }).pipe(Effect.provide(Logger.layer([]))),
    fuzzTimeout
  )

  it.live(
    "of a hive answers whatever comes",
    () =>
      Effect.gen(function* () {
        const home = yield* temporaryHome
        const url = yield* Effect.provideContext(boundUrl, yield* Layer.build(hiveLayer({ home })))
        yield* isRobust("hive", url)
      }).pipe(Effect.provide(Logger.layer([]))),
    fuzzTimeout
  )

  it.live(
    "of a worker answers whatever comes",
    () =>
      Effect.gen(function* () {
        const engine = mockEngine({ seed: 1, tokens: 4, intervalMs: 1, contextSize: 4096, slots: 4 })
        const context = yield* Layer.build(
          HttpRouter.serve(app, { disableLogger: true, disableListenLog: true }).pipe(
            Layer.provide([
              Layer.succeed(Served, Served.of({ modelId: "none", engine: () => engine })),
              Requests.layer,
              Replays.layer
            ]),
            Layer.provideMerge(
              NodeHttpServer.layer(createServer, {
                host: "127.0.0.1",
                port: 0,
                gracefulShutdownTimeout: "100 millis"
              })
            )
          )
        )
        const { address } = Context.get(context, HttpServer.HttpServer)
        const port = "port" in address ? address.port : 0
        yield* isRobust("worker", `http://127.0.0.1:${port}`)
      }),
    fuzzTimeout
  )
})
