import { assert, describe, it } from "@effect/vitest"
import { contextNeed, longerNeed } from "../../../src/gateway/upstream/contextNeed.ts"
import { publicModels } from "../../../src/gateway/upstream/Upstream.ts"
import { storedModel } from "../../support/gateway.ts"

const [fixed, model] = publicModels(
  [{ hive: "atlas", models: [{ ...storedModel("m"), context_length: 32_768 }] }],
  { fixed: { model: "m", context_size: 1024 } }
)

const need = (
  body: object,
  contextSize?: number,
  served = model,
  api: "chat/completions" | "embeddings" = "chat/completions"
) => (served === undefined ? undefined : contextNeed({ model: served, api, body: { ...body }, contextSize }))

describe("the context that a request needs", () => {
  it("follows from its text, and from what the client asks for", () => {
    assert.strictEqual(need({ prompt: "x".repeat(50_000) }), 10_000)
    assert.strictEqual(need({ messages: [{ role: "user", content: "x".repeat(5000) }] }), 1000)
    const parts = [
      { type: "text", text: "x".repeat(500) },
      { type: "image_url", image_url: { url: `data:${"A".repeat(1e6)}` } }
    ]
    assert.strictEqual(
      need({
        messages: [
          { role: "user", content: parts },
          { role: "assistant", content: null }
        ]
      }),
      100
    )
    assert.strictEqual(need({ prompt: "hi" }, 16_384), 16_384)
    assert.strictEqual(need({ prompt: "hi" }, 1_000_000), 32_768)
    assert.strictEqual(need({ prompt: "x".repeat(1e6) }), 32_768)
    assert.strictEqual(need({ input: "x".repeat(1e6) }, undefined, model, "embeddings"), undefined)
    assert.strictEqual(need({ prompt: "x".repeat(1e6) }, 4096, fixed), undefined)
  })

  it("is what an engine counted that refused the prompt", () => {
    const longer = (sentence: string, contextSize = 8192, served = model) =>
      served === undefined
        ? undefined
        : longerNeed({ model: served, api: "chat/completions", body: {} }, contextSize, sentence)
    for (const sentence of [
      "The prompt has 9000 tokens, and the context is 8192 tokens; shorten the prompt",
      "Prompt (9000 tokens) plus max_tokens (100) exceeds the context length of 8192 tokens; shorten the prompt",
      "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
      "This model's maximum context length is 8192 tokens. However, you requested 9100 tokens (9000 in the messages, 100 in the completion).",
      "This model's maximum context length is 8192 tokens. However, your request has 9000 input tokens.",
      "This model's maximum context length is 8192 tokens, however your messages resulted in 9000 tokens"
    ]) {
      assert.strictEqual(longer(sentence), 9256, sentence)
    }
    assert.strictEqual(longer("it is too long"), 8448)
    assert.strictEqual(longer("The prompt has 40000 tokens"), undefined)
    assert.strictEqual(longer("The prompt has 40000 tokens", 32_768), undefined)
    assert.strictEqual(longer("The prompt has 9000 tokens", 1024, fixed), undefined)
  })
})
