import { assert, describe, it } from "@effect/vitest"
import { publicModels } from "../../../src/gateway/upstream/Upstream.ts"
import { modelRequirements } from "../../../src/queen/fleet/modelRequirements.ts"
import { prefixesOf } from "../../../src/queen/scheduler/Prefixes.ts"
import { storedModel } from "../../support/gateway.ts"

const alias = {
  model: "rbee:tiny",
  hive: "atlas",
  device: "gpu-1",
  engine: "vllm",
  context_size: 256,
  parallel: 2
}
const [named, tiny] = publicModels([{ hive: "atlas", models: [storedModel("rbee:tiny")] }], {
  chat: alias
})

const tokensOf = (body: { readonly [field: string]: unknown }, prompt = "") => {
  assert.isDefined(tiny)
  return modelRequirements(tiny, prompt, body).tokens
}

describe("modelRequirements", () => {
  it("estimates the answer by its limit, by the model's context length, or by the usual answer", () => {
    assert.strictEqual(tokensOf({ max_tokens: 8 }) - tokensOf({ max_tokens: 0 }), 8)
    assert.strictEqual(tokensOf({ max_tokens: 8, max_completion_tokens: 3 }), tokensOf({ max_tokens: 3 }))
    assert.strictEqual(tokensOf({ max_tokens: 1e9 }), tokensOf({ max_tokens: 512 }))
    for (const max_tokens of [undefined, null, -1, "many"]) {
      assert.strictEqual(tokensOf({ max_tokens }), tokensOf({ max_tokens: 512 }), String(max_tokens))
    }
  })

  it("counts the tokens of the prompt, and names its prefixes", () => {
    assert.isAbove(tokensOf({}, "a".repeat(4096)), tokensOf({}, "a".repeat(1024)))
    assert.isDefined(tiny)
    const prompt = "once upon a time ".repeat(200)
    const { prefixes } = modelRequirements(tiny, prompt, {})
    assert.deepStrictEqual(prefixes, prefixesOf(prompt))
    assert.isNotEmpty(prefixes)
  })

  it("demands what the alias of the model demands, for the model that it stands for", () => {
    assert.isDefined(named)
    assert.deepStrictEqual(modelRequirements(named, "", { max_tokens: 0 }), {
      model: "rbee:tiny",
      tokens: 0,
      prefixes: [],
      contextSize: 256,
      hive: "atlas",
      device: "gpu-1",
      parallel: 2,
      engine: "vllm"
    })
  })
})
