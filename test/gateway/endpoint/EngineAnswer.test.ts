import { assert, describe, it } from "@effect/vitest"
import { assemble } from "../../../src/gateway/endpoint/EngineAnswer.ts"
import { readChunk, tokensOf } from "../../../src/job/view/EngineChunk.ts"

const chunk = (index: number, delta: object, finish_reason: string | null = null, logprobs: unknown = null) =>
  JSON.stringify({ choices: [{ index, delta, logprobs, finish_reason }] })

describe("assemble", () => {
  it("puts the pieces of several answers together, each for itself", () => {
    const { choices } = assemble([
      chunk(1, { role: "assistant", content: "" }),
      chunk(0, { role: "assistant", content: "" }),
      chunk(0, { content: "He" }),
      chunk(1, { content: "Good" }),
      chunk(0, { content: "llo" }, "stop"),
      chunk(1, {}, "length")
    ])
    assert.deepStrictEqual(
      choices.map(({ finishReason, index, text }) => [index, text, finishReason]),
      [
        [0, "Hello", "stop"],
        [1, "Good", "length"]
      ]
    )
  })

  it("puts calls of tools together from their pieces", () => {
    const call = (index: number, piece: object) => chunk(0, { tool_calls: [{ index, ...piece }] })
    const { choices } = assemble([
      call(0, { id: "a", type: "function", function: { name: "add", arguments: "" } }),
      call(0, { function: { arguments: '{"x":' } }),
      call(1, { id: "b", function: { name: "now", arguments: "{}" } }),
      call(0, { function: { arguments: "1}" } }),
      chunk(0, {}, "tool_calls")
    ])
    assert.deepStrictEqual(choices[0].toolCalls, [
      { id: "a", name: "add", arguments: '{"x":1}' },
      { id: "b", name: "now", arguments: "{}" }
    ])
    assert.strictEqual(choices[0].finishReason, "tool_calls")
  })

  it("keeps log probabilities and what the engine counted", () => {
    const answer = assemble([
      chunk(0, { content: "a" }, null, { content: [{ token: "a" }], refusal: null }),
      chunk(0, { content: "b" }, "stop", { content: [{ token: "b" }], refusal: null }),
      JSON.stringify({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } })
    ])
    assert.deepStrictEqual(answer.choices[0].logprobs, {
      content: [{ token: "a" }, { token: "b" }],
      refusal: null
    })
    assert.deepStrictEqual(tokensOf(answer.usage), { prompt: 3, completion: 2, cached: 0, reasoning: 0 })
  })

  it("makes an empty answer of nothing", () => {
    const { choices, usage } = assemble([])
    assert.deepStrictEqual([choices.length, choices[0].text, usage], [1, "", undefined])
  })
})

describe("readChunk", () => {
  it("reads completions as well as chats, and thoughts apart", () => {
    const text = readChunk(JSON.stringify({ choices: [{ index: 0, text: "so" }] }))
    assert.strictEqual(text?.choices[0]?.text, "so")
    const thought = readChunk(chunk(0, { reasoning_content: "hm" }))
    assert.deepStrictEqual([thought?.choices[0]?.reasoning, thought?.choices[0]?.text], ["hm", ""])
  })

  it("gives nothing for what is no chunk, and passes over what it does not know", () => {
    for (const data of ["", "[DONE]", "null", "[]", "3"]) assert.isUndefined(readChunk(data))
    assert.deepStrictEqual(readChunk(`{"choices":[null,3,{"index":"x","delta":5}],"usage":7}`), {
      choices: [
        {
          index: 0,
          text: "",
          reasoning: "",
          toolCalls: [],
          finishReason: undefined,
          stop: undefined,
          logprobs: null
        }
      ],
      usage: undefined
    })
  })
})
