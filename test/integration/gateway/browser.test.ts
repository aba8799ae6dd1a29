import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { ask } from "../../support/daemon.ts"
import { type GatewayUnderTest, startGateway } from "../../support/gateway.ts"

const origin = "http://localhost:3000"
const secret = `rbee-${"a".repeat(43)}`

const chunk = new JobEvent(
  "chunk",
  JSON.stringify({ choices: [{ index: 0, delta: { content: "Hi" }, finish_reason: "stop" }] })
)

const start = (options: GatewayUnderTest = {}) =>
  startGateway({
    complete: () => () => Stream.make(chunk),
    settings: { allowedOrigins: [origin, "https://ui.lan/"] },
    ...options
  })

const endpoints = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/responses",
  "/v1/messages",
  "/v1/messages/count_tokens",
  "/v1/models",
  "/v1/models/rbee:tiny",
  "/api/chat",
  "/api/generate",
  "/api/embed",
  "/api/embeddings",
  "/api/tags",
  "/api/ps",
  "/api/show",
  "/api/version",
  "/api/pull",
  "/api/delete"
]

const preflight = (url: string, path: string, headers: Readonly<Record<string, string>> = {}) =>
  ask(url, {
    method: "OPTIONS",
    path,
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type",
      ...headers
    }
  })

const names = (header: unknown) => String(header).split(/, */)

describe("a page of an allowed origin", () => {
  it.live("gets an answer to its preflight at each application endpoint, without a credential", () =>
    Effect.gen(function* () {
      for (const options of [{}, { keys: [{ key: secret, name: "app" }] }, { token: "0123456789abcdef" }]) {
        const { url } = yield* start(options)
        for (const path of endpoints) {
          const { headers, status, text } = yield* preflight(url, path)
          assert.deepStrictEqual([status, text], [204, ""], path)
          assert.strictEqual(headers["access-control-allow-origin"], origin)
          assert.includeMembers(names(headers["access-control-allow-methods"]), ["GET", "POST", "DELETE"])
          assert.deepStrictEqual(names(headers["access-control-allow-headers"]), [
            "authorization",
            "content-type"
          ])
          assert.include(names(headers["vary"]), "Origin")
        }
      }
    })
  )

  it.live("may send the headers of each vendor's client, and no invalid header names", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const allowed = (asked: string) =>
        Effect.map(
          preflight(url, "/v1/messages", { "access-control-request-headers": asked }),
          ({ headers }) => headers["access-control-allow-headers"]
        )
      assert.strictEqual(
        yield* allowed("x-api-key, anthropic-version,x-stainless-os"),
        "x-api-key, anthropic-version, x-stainless-os"
      )
      assert.strictEqual(yield* allowed("x-ok, bad name, <script>, "), "x-ok")
      assert.isUndefined(yield* allowed("\"'{}"))
      const many = yield* allowed(Array.from({ length: 500 }, (_, i) => `x-${i}`).join(","))
      assert.isAtMost(names(many).length, 64)
      const network = { "access-control-request-private-network": "true" }
      const answer = yield* preflight(url, "/v1/models", network)
      assert.strictEqual(answer.headers["access-control-allow-private-network"], "true")
    })
  )

  it.live("may read answers, streams, errors and rbee's headers", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ keys: [{ key: secret, name: "app", models: ["rbee:tiny"] }] })
      const send = (path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) =>
        ask(url, {
          path,
          method: body === undefined ? "GET" : "POST",
          body: body === undefined ? "" : JSON.stringify(body),
          headers: { origin, authorization: `Bearer ${secret}`, ...headers }
        })
      const chat = { model: "rbee:tiny", messages: [{ role: "user", content: "Hi" }] }
      const answers = [
        [200, yield* send("/v1/models")],
        [200, yield* send("/v1/chat/completions", chat)],
        [200, yield* send("/v1/chat/completions", { ...chat, stream: true })],
        [200, yield* send("/api/chat", chat)],
        [200, yield* send("/v1/models", undefined, { origin: "https://ui.lan" })],
        [400, yield* send("/v1/chat/completions", { model: 5 })],
        [401, yield* send("/v1/chat/completions", chat, { authorization: "Bearer wrong" })],
        [404, yield* send("/api/nowhere")],
        [404, yield* send("/v1/chat/completions", { ...chat, model: "none" })]
      ] as const
      for (const [status, { headers, status: got, text }] of answers) {
        assert.strictEqual(got, status, text)
        assert.oneOf(headers["access-control-allow-origin"], [origin, "https://ui.lan"])
        assert.include(names(headers["vary"]), "Origin")
        assert.includeMembers(names(headers["access-control-expose-headers"]), [
          "x-rbee-job-id",
          "x-rbee-hive",
          "x-rbee-worker",
          "x-rbee-queue-ms",
          "x-rbee-load-ms",
          "retry-after"
        ])
      }
    })
  )

  it.live("reaches a foreign Host only with a key; its preflight needs none", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ keys: [{ key: secret, name: "app" }] })
      const host = "queen.lan:8500"
      assert.strictEqual((yield* preflight(url, "/v1/models", { host })).status, 204)
      const list = (headers: Readonly<Record<string, string>>) =>
        Effect.map(
          ask(url, { path: "/v1/models", headers: { origin, host, ...headers } }),
          ({ status }) => status
        )
      assert.strictEqual(yield* list({ "x-api-key": secret }), 200)
      assert.strictEqual(yield* list({}), 403)
    })
  )

  it.live("gets no CORS headers at the endpoints of jobs", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const path of ["/v1/jobs", "/health", "/v1/shutdown"]) {
        const { headers, status } = yield* preflight(url, path)
        assert.strictEqual(status, 404, path)
        assert.isUndefined(headers["access-control-allow-origin"], path)
      }
    })
  )
})

describe("a page of another origin", () => {
  it.live("gets 403 without CORS headers, also for its preflight", () =>
    Effect.gen(function* () {
      for (const settings of [{ allowedOrigins: [origin] }, {}]) {
        const { url } = yield* start({ settings })
        const foreign = [
          "http://localhost:3001",
          "https://localhost:3000",
          "null",
          "http://evil.example",
          `${origin}.evil`
        ]
        for (const path of endpoints) {
          for (const other of foreign) {
            const asked = yield* preflight(url, path, { origin: other })
            const sent = yield* ask(url, { path, headers: { origin: other } })
            for (const { headers, status } of [asked, sent]) {
              assert.strictEqual(status, 403, `${path} ${other}`)
              const cors = Object.keys(headers).filter((name) => name.startsWith("access-control-"))
              assert.deepStrictEqual(cors, [])
            }
          }
        }
      }
    })
  )

  it.live(
    "does not share cached responses: every response of an endpoint with allowed origins varies by Origin",
    () =>
      Effect.gen(function* () {
        const { url } = yield* start()
        const { headers } = yield* ask(url, { path: "/v1/models" })
        assert.include(names(headers["vary"]), "Origin")
        assert.isUndefined(headers["access-control-allow-origin"])
      })
  )
})
