import { assert, describe, it } from "@effect/vitest"
import { isBlank, isOpening, parseChunk, readChunk } from "../../../src/queen/fleet/answerChunk.ts"

const chunk = (choice: object, more: object = {}) => JSON.stringify({ choices: [choice], ...more })
const none = { text: "", isFinished: false, hasOther: false }

describe("isBlank", () => {
  it("is true of values that mean the same as an absent field", () => {
    for (const value of [undefined, null, false, "", []]) assert.isTrue(isBlank(value), String(value))
    for (const value of [0, true, "a", [1], {}]) assert.isFalse(isBlank(value), JSON.stringify(value))
  })
})

describe("parseChunk", () => {
  it("parses JSON objects only", () => {
    assert.deepStrictEqual(parseChunk('{"a":1}'), { a: 1 })
    for (const json of ["[DONE]", "1", "[]", '"a"', "null", "{"]) assert.isUndefined(parseChunk(json), json)
  })
})

describe("isOpening", () => {
  it("is true of chunks with a role and no content", () => {
    const openings = [
      chunk({ delta: { role: "assistant", content: "" } }),
      chunk({ delta: { role: "assistant", content: null, tool_calls: [] }, finish_reason: null }),
      chunk({ text: "" }),
      JSON.stringify({ choices: [] })
    ]
    for (const json of openings) assert.isTrue(isOpening(json), json)
  })

  it("is false of content, an end, usage, and what is not a chunk", () => {
    const others = [
      chunk({ delta: { content: "a" } }),
      chunk({ delta: { tool_calls: [{ index: 0 }] } }),
      chunk({ text: "a" }),
      chunk({ delta: {}, finish_reason: "stop" }),
      chunk({ delta: {} }, { usage: { prompt_tokens: 1 } }),
      chunk({ delta: "a" }),
      JSON.stringify({ choices: [{ delta: {} }, { delta: { content: "a" } }] }),
      JSON.stringify({ error: {} }),
      "[DONE]"
    ]
    for (const json of others) assert.isFalse(isOpening(json), json)
  })
})

describe("readChunk", () => {
  it("reads the text of chats and of text completions", () => {
    assert.deepStrictEqual(readChunk(chunk({ delta: { role: "assistant", content: "Hel" } })), {
      ...none,
      text: "Hel"
    })
    assert.deepStrictEqual(readChunk(chunk({ text: "lo" })), { ...none, text: "lo" })
    assert.deepStrictEqual(readChunk(chunk({ delta: { content: [1] } })).text, "")
  })

  it("reads the end, and whether there is more than text", () => {
    assert.deepStrictEqual(readChunk(chunk({ delta: {}, finish_reason: "length" })), {
      ...none,
      isFinished: true
    })
    assert.isTrue(readChunk(chunk({ delta: { reasoning_content: "hm" } })).hasOther)
    assert.isFalse(readChunk(chunk({ delta: { tool_calls: [], refusal: null } })).hasOther)
  })

  it("reads nothing from anything but a chunk", () => {
    for (const json of ["[DONE]", "{}", '{"choices":[]}', '{"choices":[1]}', '{"choices":{}}']) {
      assert.deepStrictEqual(readChunk(json), none, json)
    }
  })
})
