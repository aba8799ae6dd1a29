import { assert, describe, it } from "@effect/vitest"
import { TokenMeter } from "../../../src/gateway/keys/TokenMeter.ts"
import { estimateTokens } from "../../../src/operation/promptSize.ts"
import { counted, piece } from "../../support/endpointAnswers.ts"

const prompt = "a".repeat(400)
const promptTokens = estimateTokens(prompt.length)

const estimate = (body: Readonly<Record<string, unknown>>, api: "chat/completions" | "embeddings") =>
  new TokenMeter(prompt, true).estimate({ api, body }) - promptTokens

describe("the estimate of a request", () => {
  it("is its prompt and the requested length of each answer, else 256 tokens", () => {
    assert.strictEqual(estimate({}, "chat/completions"), 256)
    assert.strictEqual(estimate({ max_tokens: 10 }, "chat/completions"), 10)
    assert.strictEqual(estimate({ max_completion_tokens: 10, n: 3 }, "chat/completions"), 30)
    assert.strictEqual(estimate({ max_tokens: -1, n: 0 }, "chat/completions"), 256)
  })

  it("has no answer for embeddings", () => {
    assert.strictEqual(estimate({}, "embeddings"), 0)
  })
})

describe("the tokens of a request", () => {
  it("are none before the first chunk", () => {
    assert.strictEqual(new TokenMeter(prompt, true).tokens, 0)
  })

  it("are the engine's count in the last chunk or the one before it", () => {
    const meter = new TokenMeter(prompt, true)
    meter.note(piece({ content: "a" }))
    meter.note(counted())
    assert.strictEqual(meter.tokens, 9)
    meter.note(piece({}, "stop"))
    assert.strictEqual(meter.tokens, 9)
  })

  it("are one for each chunk and the estimated prompt without a count", () => {
    const meter = new TokenMeter(prompt, true)
    meter.note(piece({ content: "a" }))
    meter.note(piece({ content: "b" }))
    assert.strictEqual(meter.tokens, promptTokens + 2)
  })

  it("are not counted for a key without a limit", () => {
    const meter = new TokenMeter(prompt, false)
    meter.note(counted())
    assert.strictEqual(meter.tokens, 0)
  })
})
