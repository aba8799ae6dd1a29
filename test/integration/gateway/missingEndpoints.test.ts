import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ask } from "../../support/daemon.ts"
import { type GatewayUnderTest, startGateway } from "../../support/gateway.ts"

const origin = "http://localhost:3000"
const secret = `rbee-${"a".repeat(43)}`
const token = "0123456789abcdef"
const app = { authorization: `Bearer ${secret}` }
const anthropic = { "anthropic-version": "2023-06-01" }

const start = (options: GatewayUnderTest = {}) =>
  startGateway({ settings: { allowedOrigins: [origin] }, ...options })

const requested = (
  url: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {}
) => ask(url, { method, path, headers: { origin, ...headers } })

const envelopes = {
  OpenAI: (text: string) => {
    const { code, message, type } = JSON.parse(text).error
    return [type, code, message]
  },
  Anthropic: (text: string) => {
    const { error, type } = JSON.parse(text)
    return [type, error.type, error.message]
  },
  Ollama: (text: string) => [JSON.parse(text).error]
}

const list = "GET /openapi.json lists all paths"

describe("an application path without an endpoint", () => {
  it.live("gets 404 in the client's format, readable for a web page", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const unknown = (method: string, path: string) => `rbee has no endpoint ${method} ${path}; ${list}`
      const openAi = (message: string) => ["invalid_request_error", "unknown_url", message]
      const anthropicError = (message: string) => ["error", "not_found_error", message]
      const tried = [
        ["POST", "/v1/nothing", {}, "OpenAI", openAi(unknown("POST", "/v1/nothing"))],
        ["GET", "/v1", {}, "OpenAI", openAi(unknown("GET", "/v1"))],
        ["POST", "/v1/v1/chat/completions", {}, "OpenAI", openAi(unknown("POST", "/v1/v1/chat/completions"))],
        ["DELETE", "/v1/nothing?x=1", {}, "OpenAI", openAi(unknown("DELETE", "/v1/nothing"))],
        ["POST", "/v1/nothing", anthropic, "Anthropic", anthropicError(unknown("POST", "/v1/nothing"))],
        ["GET", "/v1/messages/x", {}, "Anthropic", anthropicError(unknown("GET", "/v1/messages/x"))],
        ["POST", "/api/nothing", {}, "Ollama", [unknown("POST", "/api/nothing")]],
        ["POST", "/v1/rerank", {}, "OpenAI", openAi("rbee does not serve reranking")],
        ["POST", "/v1/audio/speech", {}, "OpenAI", openAi("rbee does not serve speech or transcription")],
        ["POST", "/v1/images/generations", {}, "OpenAI", openAi("rbee does not serve image generation")],
        [
          "GET",
          "/v1/responses/resp_1",
          {},
          "OpenAI",
          openAi("rbee does not serve stored responses: answers are not stored")
        ],
        [
          "GET",
          "/v1/messages/batches/b1/results",
          {},
          "Anthropic",
          anthropicError("rbee does not serve batches; send the requests one by one, they are queued")
        ]
      ] as const
      for (const [method, path, headers, api, expected] of tried) {
        const got = yield* requested(url, method, path, headers)
        assert.deepStrictEqual([path, got.status], [path, 404])
        assert.deepStrictEqual(envelopes[api](got.text), [...expected], path)
        assert.strictEqual(got.headers["access-control-allow-origin"], origin, path)
        assert.isUndefined(got.headers["allow"], path)
      }
    })
  )

  it.live("gets 405 with the allowed methods if the path has other methods", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const tried = [
        ["GET", "/v1/chat/completions", {}, "POST"],
        ["DELETE", "/v1/chat/completions/", {}, "POST"],
        ["PUT", "/v1/embeddings", {}, "POST"],
        ["GET", "/v1/messages", anthropic, "POST"],
        ["POST", "/v1/models", {}, "GET, HEAD"],
        ["DELETE", "/v1/models/rbee:tiny", anthropic, "GET, HEAD"],
        ["POST", "/api/tags", {}, "GET, HEAD"],
        ["GET", "/api/chat", {}, "POST"],
        ["OPTIONS", "/api/delete", {}, "DELETE"]
      ] as const
      for (const [method, path, headers, allow] of tried) {
        const got = yield* requested(url, method, path, headers)
        assert.deepStrictEqual([path, got.status, got.headers["allow"]], [path, 405, allow])
        assert.include(got.text, `answers ${allow} only`)
        assert.strictEqual(got.headers["access-control-allow-origin"], origin, path)
      }
      const { text } = yield* requested(url, "GET", "/v1/embeddings")
      assert.strictEqual(JSON.parse(text).error.code, "method_not_supported")
    })
  )

  it.live("gets 404 with a key, needs a credential if there is a token, and is visible to the owner", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ token, keys: [{ key: secret, name: "app" }] })
      const status = (headers: Readonly<Record<string, string>>, path = "/v1/nothing") =>
        Effect.map(requested(url, "POST", path, headers), ({ status, text }) => [status, JSON.parse(text)])
      assert.strictEqual((yield* status(app))[0], 404)
      assert.strictEqual((yield* status({ authorization: `Bearer ${token}` }))[0], 404)
      const [refused, body] = yield* status({})
      assert.deepStrictEqual([refused, body.error.code], [401, "invalid_api_key"])
      const [foreign, said] = yield* status({ origin: "http://evil.example", ...anthropic })
      assert.deepStrictEqual([foreign, said.error.type], [403, "permission_error"])
    })
  )

  it.live("does not change the daemon's own paths, in any spelling that the router accepts", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ token, keys: [{ key: secret, name: "app" }] })
      const owned = { authorization: `Bearer ${token}` }
      for (const path of [
        "/v1/jobs/x/y",
        "/v1//jobs",
        "/V1/Jobs",
        "/v1/jobs/",
        "/v1/shutdown",
        "//v1/build-info"
      ]) {
        const got = yield* requested(url, "PUT", path, owned)
        const { error } = JSON.parse(got.text)
        assert.deepStrictEqual([path, got.status, error.code], [path, 404, "NotFound"])
        assert.isUndefined(got.headers["access-control-allow-origin"], path)
        const refused = yield* requested(url, "GET", path, app)
        assert.deepStrictEqual([path, refused.status], [path, 403])
        assert.strictEqual(JSON.parse(refused.text).error.code, "KeyForbidden")
      }
    })
  )
})

it.live(
  "differs from an existing endpoint, which a key opens in every spelling that the router accepts",
  () =>
    Effect.gen(function* () {
      const { url } = yield* start({ token, keys: [{ key: secret, name: "app" }] })
      for (const path of ["/v1/models", "/v1/models/", "//v1/models", "/V1/Models", "/api//tags"]) {
        assert.strictEqual((yield* requested(url, "GET", path, app)).status, 200, path)
      }
    })
)
