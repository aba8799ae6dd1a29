import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Token } from "node-llama-cpp"
import { embedTexts } from "../../src/worker/embedTexts.ts"
import { Tokenizer } from "../../src/worker/Tokenizer.ts"

const tokenize = (text: string) => [...text].map((_, index) => index as Token)

const embed = (inputs: ReadonlyArray<string>, options: { dimensions?: number; truncate?: boolean } = {}) => {
  const lengths: Array<number> = []
  const parts = {
    contextSize: 10,
    dimensions: 4,
    tokenizer: new Tokenizer({ tokenize, tokens: { bos: null, shouldPrependBosToken: false } }, 100),
    embedder: {
      embed: (texts: ReadonlyArray<ReadonlyArray<Token>>) => {
        lengths.push(...texts.map(({ length }) => length))
        return Effect.succeed(texts.map(() => [1]))
      }
    }
  }
  const { dimensions, truncate = false } = options
  return Effect.map(
    embedTexts(parts, inputs, { dimensions, truncate }, new AbortController().signal),
    ({ tokens, vectors }) => ({ lengths, tokens, count: vectors.length })
  )
}

describe("embedTexts", () => {
  it.effect("returns a vector per input and the number of tokens", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* embed(["abc", "de"]), { lengths: [3, 2], tokens: 5, count: 2 })
    })
  )

  it.effect(
    "leaves two tokens of the context, truncates on request, and rejects longer texts otherwise",
    () =>
      Effect.gen(function* () {
        const long = "a".repeat(9)
        assert.deepStrictEqual((yield* embed([long], { truncate: true })).lengths, [8])
        const error = yield* Effect.flip(embed([long]))
        assert.deepInclude(error, { _tag: "ContextLengthExceeded", promptTokens: 9, contextSize: 8 })
      })
  )

  it.effect("rejects empty texts and too many dimensions, and names the field", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* Effect.flip(embed(["a", ""])), { param: "input.1" })
      assert.deepInclude(yield* Effect.flip(embed([""])), { param: "input" })
      assert.deepInclude(yield* Effect.flip(embed(["a"], { dimensions: 5 })), { param: "dimensions" })
    })
  )
})
