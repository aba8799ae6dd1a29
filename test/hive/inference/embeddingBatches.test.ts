import { assert, describe, it } from "@effect/vitest"
import { embeddingBatches, withOffset } from "../../../src/hive/inference/embeddingBatches.ts"

const texts = (count: number) => Array.from({ length: count }, (_, index) => `text ${index}`)

describe("embeddingBatches", () => {
  it("does not divide a short list, a text, or one list of tokens", () => {
    for (const input of ["text", texts(64), Array.from({ length: 1000 }, (_, index) => index)]) {
      const body = { input, encoding_format: "float" }
      assert.deepStrictEqual(embeddingBatches(body), [{ offset: 0, body }])
    }
  })

  it("divides a longer list into batches of 64, whose vectors are requested in base64", () => {
    const input = texts(130)
    assert.deepStrictEqual(embeddingBatches({ input, dimensions: 8 }), [
      { offset: 0, body: { input: input.slice(0, 64), dimensions: 8, encoding_format: "base64" } },
      { offset: 64, body: { input: input.slice(64, 128), dimensions: 8, encoding_format: "base64" } },
      { offset: 128, body: { input: input.slice(128), dimensions: 8, encoding_format: "base64" } }
    ])
  })
})

describe("withOffset", () => {
  it("moves the indexes of a batch's vectors and keeps the other fields", () => {
    const answer = JSON.stringify({ model: "m", data: [{ index: 0, embedding: "A" }, { embedding: "B" }] })
    assert.deepStrictEqual(JSON.parse(withOffset(answer, 64)), {
      model: "m",
      data: [
        { index: 64, embedding: "A" },
        { index: 65, embedding: "B" }
      ]
    })
  })

  it("leaves a document alone that is no list of vectors", () => {
    for (const document of ["{", "[]", '{"data":3}']) assert.strictEqual(withOffset(document, 64), document)
  })
})
