import { assert, describe, it } from "@effect/vitest"
import {
  allowsContinuation,
  continuationBody,
  hasOneAnswer
} from "../../../src/queen/fleet/continuationRequest.ts"

const messages = [{ role: "user", content: "Hi" }]
const chat = (fields: object) => ({ api: "chat/completions", body: { messages, ...fields } }) as const
const completion = (body: object) => ({ api: "completions", body: { ...body } }) as const

describe("allowsContinuation", () => {
  it("is true of one plain text, to messages or to a prompt", () => {
    const allowed = [
      chat({}),
      chat({ n: 1, tools: [], functions: null, logprobs: false, suffix: "", echo: false }),
      chat({ n: null, response_format: { type: "text" } }),
      completion({ prompt: "The" })
    ]
    for (const request of allowed) assert.isTrue(allowsContinuation(request), JSON.stringify(request))
  })

  it("is false of several answers, structured ones, and requests without one text to continue", () => {
    const excluded = [
      chat({ n: 2 }),
      chat({ tools: [{}] }),
      chat({ functions: [{}] }),
      chat({ logprobs: true }),
      chat({ response_format: { type: "json_object" } }),
      chat({ response_format: "json" }),
      chat({ messages: "Hi" }),
      completion({ prompt: ["a", "b"] }),
      completion({ prompt: "a", echo: true }),
      completion({ prompt: "a", best_of: 3 }),
      completion({ prompt: "a", suffix: "z" }),
      { api: "embeddings", body: { prompt: "a" } } as const
    ]
    for (const request of excluded) assert.isFalse(allowsContinuation(request), JSON.stringify(request))
  })
})

describe("hasOneAnswer", () => {
  it("is false only if the request asks for several", () => {
    for (const n of [undefined, null, 1]) assert.isTrue(hasOneAnswer({ body: { n } }))
    for (const n of [0, 2, "1"]) assert.isFalse(hasOneAnswer({ body: { n } }))
  })
})

describe("continuationBody", () => {
  it("is the request's own body if no text was delivered", () => {
    const request = chat({ max_tokens: 5 })
    assert.strictEqual(continuationBody(request, "", 0), request.body)
  })

  it("appends the text as a message of the assistant, and asks to continue it", () => {
    assert.deepStrictEqual(continuationBody(chat({ seed: 3 }), "Hello", 2), {
      messages: [...messages, { role: "assistant", content: "Hello" }],
      seed: 3,
      add_generation_prompt: false,
      continue_final_message: true
    })
  })

  it("appends the text to a last message that the client wants continued, if that is text", () => {
    const begun = [...messages, { role: "assistant", content: "So, " }]
    const body = continuationBody(chat({ messages: begun, continue_final_message: true }), "yes", 1)
    assert.deepStrictEqual(body["messages"], [...messages, { role: "assistant", content: "So, yes" }])
    const parts = [...messages, { role: "assistant", content: [{ type: "text", text: "So" }] }]
    const other = continuationBody(chat({ messages: parts, continue_final_message: true }), "yes", 1)
    assert.deepStrictEqual(other["messages"], [...parts, { role: "assistant", content: "yes" }])
  })

  it("appends the text to a prompt", () => {
    assert.deepStrictEqual(continuationBody(completion({ prompt: "The" }), " sea", 1), { prompt: "The sea" })
  })

  it("reduces each limit of tokens by the delivered pieces, but not below one", () => {
    const limited = completion({ prompt: "a", max_tokens: 10, max_completion_tokens: 2 })
    assert.deepStrictEqual(continuationBody(limited, "b", 4), {
      prompt: "ab",
      max_tokens: 6,
      max_completion_tokens: 1
    })
    const unlimited = continuationBody(completion({ prompt: "a", max_tokens: null }), "b", 4)
    assert.isNull(unlimited["max_tokens"])
  })
})
