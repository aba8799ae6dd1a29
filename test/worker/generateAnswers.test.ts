import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { checkFit } from "../../src/worker/checkFit.ts"
import { samplingOfChoice } from "../../src/worker/generateAnswers.ts"
import type { Sampling } from "../../src/worker/Generator.ts"

const sampling: Sampling = {
  repeatPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  penaltyWindow: 64,
  maxTokens: 20,
  isExact: false,
  temperature: 1,
  topP: 1,
  topK: 40,
  minP: 0,
  seed: undefined,
  stop: [],
  choices: 1,
  grammar: undefined,
  logprobs: undefined
}

describe("checkFit", () => {
  it.effect("requires room for one token of the answer, or for all if exact", () =>
    Effect.gen(function* () {
      yield* checkFit(15, sampling, 16)
      yield* checkFit(16, { ...sampling, maxTokens: 0 }, 16)
      yield* checkFit(12, { ...sampling, isExact: true, maxTokens: 4 }, 16)
      assert.deepInclude(yield* Effect.flip(checkFit(16, sampling, 16)), {
        _tag: "ContextLengthExceeded",
        promptTokens: 16
      })
      const exact = yield* Effect.flip(checkFit(13, { ...sampling, isExact: true, maxTokens: 4 }, 16))
      assert.strictEqual(
        exact.message,
        "Prompt (13 tokens) plus max_tokens (4) exceeds the context length of 16 tokens; shorten the prompt or lower max_tokens"
      )
    })
  )

  it.effect("rejects an empty prompt", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* Effect.flip(checkFit(0, sampling, 16)), { param: "prompt" })
    })
  )
})

describe("samplingOfChoice", () => {
  it("limits the answer to the remaining context", () => {
    assert.strictEqual(samplingOfChoice(sampling, 10, 0, 16).maxTokens, 6)
    assert.strictEqual(samplingOfChoice(sampling, 10, 0, 100).maxTokens, 20)
  })

  it("gives each choice its own seed of 32 bits, and none without a seed", () => {
    assert.strictEqual(samplingOfChoice({ ...sampling, seed: 7 }, 1, 2, 16).seed, 9)
    assert.strictEqual(samplingOfChoice({ ...sampling, seed: 2 ** 32 - 1 }, 1, 1, 16).seed, 0)
    assert.isUndefined(samplingOfChoice(sampling, 1, 2, 16).seed)
  })
})
