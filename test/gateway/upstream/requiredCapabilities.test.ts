import { assert, describe, it } from "@effect/vitest"
import { requiredCapabilities } from "../../../src/gateway/upstream/requiredCapabilities.ts"

const text = [{ role: "user", content: "hi" }]
const tools = [{ type: "function", function: { name: "look" } }]
const withPart = (part: object) => [{ role: "user", content: [{ type: "text", text: "see" }, part] }]
const schema = { type: "json_schema", json_schema: { name: "x", schema: {} } }

describe("requiredCapabilities", () => {
  it("reads from a request what an engine must be able to do", () => {
    const chat = "chat/completions" as const
    const cases = [
      [chat, { messages: text }, ["chat"]],
      [chat, { messages: text, tools: [], response_format: { type: "text" } }, ["chat"]],
      [chat, { messages: text, tools }, ["chat", "tools"]],
      [chat, { messages: text, tools, tool_choice: "none" }, ["chat"]],
      [chat, { messages: text, functions: [{ name: "look" }] }, ["chat", "tools"]],
      [chat, { messages: withPart({ type: "image_url", image_url: { url: "data:" } }) }, ["chat", "images"]],
      [chat, { messages: withPart({ type: "text", text: "image_url" }) }, ["chat"]],
      [chat, { messages: text, response_format: schema }, ["chat", "json_schema"]],
      [chat, { messages: text, reasoning_effort: "high" }, ["chat"]],
      ["completions", { prompt: "It" }, ["completions"]],
      ["embeddings", { input: "It" }, ["embeddings"]]
    ] as const
    for (const [api, body, expected] of cases) {
      assert.deepStrictEqual(requiredCapabilities({ api, body }), expected, JSON.stringify(body))
    }
  })
})
