import { assert, describe, it } from "@effect/vitest"
import { usualShapeOf } from "../../../src/hive/workers/usualShape.ts"

describe("the usual shape of a worker", () => {
  it("has the model's context, at most 8192 tokens and at least 2048 where memory is short", () => {
    const settings = { contextSize: undefined, parallel: 4 }
    assert.deepStrictEqual(usualShapeOf(131_072, settings), {
      contextSize: 8192,
      slots: 4,
      minContext: 2048,
      maxContext: 131_072
    })
    assert.deepInclude(usualShapeOf(512, settings), { contextSize: 512, minContext: 512, maxContext: 512 })
  })

  it("has exactly the context of the settings, limited by the model", () => {
    const settings = { contextSize: 16_384, parallel: 1 }
    assert.deepInclude(usualShapeOf(32_768, settings), { contextSize: 16_384, minContext: 16_384 })
    assert.deepInclude(usualShapeOf(4096, settings), { contextSize: 4096, minContext: 4096 })
  })
})
