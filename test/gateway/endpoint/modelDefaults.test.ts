import { assert, describe, it } from "@effect/vitest"
import type { EndpointRequest } from "../../../src/gateway/endpoint/Endpoint.ts"
import { withModelDefaults } from "../../../src/gateway/endpoint/modelDefaults.ts"
import { publicModels, type ServedModel } from "../../../src/gateway/upstream/Upstream.ts"
import type { StoredModel } from "../../../src/operation/Inventory.ts"
import { storedModel } from "../../support/gateway.ts"

const served = (more: Partial<StoredModel> = {}): ServedModel => {
  const [model] = publicModels([{ hive: "atlas", models: [{ ...storedModel("m"), ...more }] }], {})
  return model ?? assert.fail("there is no model")
}
const created = served({
  created: {
    from: "base",
    at: "2026-01-02T03:04:05.000Z",
    system: "Be brief",
    messages: [{ role: "user", content: "example" }],
    parameters: { temperature: 0.2, num_predict: 9, num_ctx: 1024 }
  }
})
const request = (more: Partial<EndpointRequest> = {}): EndpointRequest => ({
  model: "m",
  api: "chat/completions",
  body: { messages: [{ role: "user", content: "Hi" }] },
  reply: { _tag: "Document", toText: (text) => text },
  ...more
})
const bodyOf = (more: Partial<EndpointRequest>) => withModelDefaults(request(more), created).body

describe("withModelDefaults", () => {
  it("leaves a request alone if neither the model nor the endpoint has defaults", () => {
    const plain = request()
    assert.strictEqual(withModelDefaults(plain, served()), plain)
  })

  it("adds the model's system text, messages, parameters and context", () => {
    const { body, contextSize } = withModelDefaults(request(), created)
    assert.strictEqual(contextSize, 1024)
    assert.deepInclude(body, { temperature: 0.2, max_tokens: 9 })
    assert.deepStrictEqual(body["messages"], [
      { role: "system", content: "Be brief" },
      { role: "user", content: "example" },
      { role: "user", content: "Hi" }
    ])
  })

  it("prefers the request, then the model, then the endpoint", () => {
    const defaults = { temperature: 0.8, top_k: 40 }
    assert.deepInclude(bodyOf({ defaults }), { temperature: 0.2, top_k: 40 })
    assert.deepInclude(bodyOf({ defaults, body: { temperature: 0, top_k: null } }), {
      temperature: 0,
      top_k: 40
    })
    assert.strictEqual(withModelDefaults(request({ contextSize: 4096 }), created).contextSize, 4096)
  })

  it("keeps the client's instructions before the model's messages, without the model's system text", () => {
    const own = { role: "system", content: "Sing" }
    assert.deepStrictEqual(
      bodyOf({ body: { messages: [own, { role: "user", content: "Hi" }] } })["messages"],
      [own, { role: "user", content: "example" }, { role: "user", content: "Hi" }]
    )
  })

  it("does not add a second limit to a request with max_completion_tokens", () => {
    assert.notProperty(bodyOf({ body: { max_completion_tokens: 5 } }), "max_tokens")
  })

  it("loads a model that only embeds by embedding a text", () => {
    const embeds = served({
      engines: [{ name: "llama", capabilities: { completions: false, embeddings: true } }]
    })
    assert.deepInclude(withModelDefaults(request({ isLoad: true }), embeds), {
      api: "embeddings",
      body: { input: "." }
    })
  })
})
