import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Token } from "node-llama-cpp"
import { Tokenizer } from "../../src/worker/Tokenizer.ts"

const token = (id: number) => id as Token

const makeTokenizer = (shouldPrependBosToken: boolean) =>
  new Tokenizer(
    {
      tokenize: (text: string, withControl: boolean) =>
        withControl ? [token(9)] : [...text].map((character) => token(Number(character))),
      tokens: { bos: token(1), shouldPrependBosToken }
    },
    10
  )

describe("Tokenizer", () => {
  it.effect("tokenizes texts with and without control tokens", () =>
    Effect.gen(function* () {
      const tokenizer = makeTokenizer(true)
      assert.deepStrictEqual(yield* tokenizer.tokens("23", "prompt", false), [token(2), token(3)])
      assert.deepStrictEqual(yield* tokenizer.tokens("23", "prompt", true), [token(9)])
    })
  )

  it.effect("rejects token ids outside of the vocabulary, and names the field", () =>
    Effect.gen(function* () {
      const tokenizer = makeTokenizer(true)
      assert.deepStrictEqual(yield* tokenizer.tokens([0, 9], "prompt", false), [token(0), token(9)])
      const error = yield* Effect.flip(tokenizer.tokens([0, 10], "prompt.1", false))
      assert.strictEqual(error.param, "prompt.1")
      assert.include(error.message, "0 to 9")
    })
  )

  it("adds a missing BOS token only if the model requires one", () => {
    assert.deepStrictEqual(makeTokenizer(true).withBos([token(2)]), [token(1), token(2)])
    assert.deepStrictEqual(makeTokenizer(true).withBos([token(1), token(2)]), [token(1), token(2)])
    assert.deepStrictEqual(makeTokenizer(false).withBos([token(2)]), [token(2)])
  })
})
