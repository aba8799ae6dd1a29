import { assert, describe, it } from "@effect/vitest"
import { completionLogprobs, logprobsWriter } from "../../../src/gateway/openai/completionLogprobs.ts"
import { sseFrame } from "../../../src/http/SseFrame.ts"

const entry = (token: string, logprob: number, other: string) => ({
  id: 7,
  token,
  bytes: [...Buffer.from(token)],
  logprob,
  top_logprobs: [
    { id: 7, token, logprob },
    { id: 8, token: other, logprob: logprob - 1 }
  ]
})

describe("completionLogprobs", () => {
  it("makes lists of the objects of a chat, and leaves lists and nothing as they are", () => {
    const content = [entry(" Paris", -0.5, " the"), entry("😀", -1, "!"), entry(".", -0.25, ",")]
    assert.deepStrictEqual(completionLogprobs({ content }, 3), {
      tokens: [" Paris", "😀", "."],
      token_logprobs: [-0.5, -1, -0.25],
      top_logprobs: [
        { " Paris": -0.5, " the": -1.5 },
        { "😀": -1, "!": -2 },
        { ".": -0.25, ",": -1.25 }
      ],
      text_offset: [3, 9, 11]
    })
    const lists = { tokens: ["a"], token_logprobs: [-1], top_logprobs: [{ a: -1 }], text_offset: [0] }
    for (const given of [lists, null, undefined]) assert.strictEqual(completionLogprobs(given, 0), given)
  })

  it("counts the offsets of each choice of a stream by itself", () => {
    const writer = logprobsWriter({ chunk: (data) => sseFrame(data), end: () => "", failed: () => "" })
    const offsetsOf = (index: number, text: string, content: ReadonlyArray<object> | undefined) => {
      const logprobs = content === undefined ? null : { content }
      const written = writer.chunk(JSON.stringify({ id: "c", choices: [{ index, text, logprobs }] }))
      return JSON.parse(written.slice("data: ".length)).choices[0].logprobs?.text_offset
    }
    assert.deepStrictEqual(offsetsOf(0, "ab", [entry("ab", -1, "c")]), [0])
    assert.deepStrictEqual(offsetsOf(1, "x", [entry("x", -1, "c")]), [0])
    assert.strictEqual(offsetsOf(0, "c", undefined), undefined)
    assert.deepStrictEqual(offsetsOf(0, "de", [entry("d", -1, "c"), entry("e", -1, "c")]), [3, 4])
    assert.strictEqual(writer.chunk("no JSON"), "data: no JSON\n\n")
  })
})
