import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { post } from "../../support/applications.ts"
import { startFleet } from "../../support/fleet.ts"

// Workers are started here, which takes its time on a machine that does more.
vi.setConfig({ testTimeout: 120_000 })

const settings = {
  engines: {
    toolsmith: {
      command: [
        process.execPath,
        new URL("../../support/fakeToolEngine.ts", import.meta.url).pathname,
        "--port",
        "{port}",
        "--name",
        "{model_id}"
      ],
      capabilities: ["chat", "tools"]
    }
  }
} as const

const path = "/v1/chat/completions"
const messages = [{ role: "user", content: "hi" }]
const tools = [{ type: "function", function: { name: "look", parameters: { type: "object" } } }]
const image = [
  { role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AA==" } }] }
]

describe("an engine without a capability that a request needs", () => {
  for (const daemon of ["queen", "hive"] as const) {
    it.live(`does not get the request; a capable engine is started: at the ${daemon}`, () =>
      Effect.gen(function* () {
        const fleet = yield* startFleet({
          hives: ["atlas"],
          hive: settings,
          models: ["m"],
          variants: { vectors: { "llama.pooling_type": 1 } }
        })
        const url = daemon === "queen" ? fleet.queenUrl : (fleet.hiveUrls["atlas"] ?? "")
        const ask = (body: object, model = "m") => post(url, path, { model, max_tokens: 2, ...body })
        const plain = yield* ask({ messages })
        assert.strictEqual(plain.status, 200, plain.text)
        // The built-in engine has no tools.
        const called = yield* ask({ messages, tools })
        assert.strictEqual(called.status, 200, called.text)
        assert.strictEqual(JSON.parse(called.text).choices[0].finish_reason, "tool_calls")
        assert.notStrictEqual(called.headers["x-rbee-worker"], plain.headers["x-rbee-worker"])
        // Both stay, and each gets what it can do.
        for (const [body, before] of [
          [{ messages, tools }, called],
          [
            { messages, response_format: { type: "json_schema", json_schema: { name: "x", schema: {} } } },
            plain
          ]
        ] as const) {
          const { headers, status, text } = yield* ask(body)
          assert.strictEqual(status, 200, text)
          assert.strictEqual(headers["x-rbee-worker"], before.headers["x-rbee-worker"])
        }

        // What no engine of the fleet can do is the request's fault, and starts nothing.
        for (const [body, model, sentence] of [
          [{ messages: image }, "m", "Model 'm' does not accept images"],
          [{ messages: image, tools }, "m", "Model 'm' does not accept images"]
        ] as const) {
          const refused = yield* ask(body, model)
          const { error } = JSON.parse(refused.text)
          assert.deepStrictEqual([refused.status, error.type], [400, "invalid_request_error"], refused.text)
          assert.include(error.message, sentence)
        }
        assert.lengthOf(yield* fleet.workers, 2)

        // A model that makes embeddings only says so itself, and makes them.
        const vectors = yield* post(url, "/v1/embeddings", { model: "vectors", input: "It" })
        assert.strictEqual(vectors.status, 200, vectors.text)
        const completed = yield* post(url, "/v1/completions", { model: "vectors", prompt: "It" })
        assert.strictEqual(completed.status, 400, completed.text)
        assert.include(completed.text, "Model 'vectors' cannot complete text")
        assert.lengthOf(yield* fleet.workers, 3)
      })
    )
  }
})
