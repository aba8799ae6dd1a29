import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { engineTool } from "../../../src/gateway/endpoint/reading.ts"
import { type ToolChoice, toolFields } from "../../../src/gateway/endpoint/tools.ts"

const add = engineTool("add", null, undefined)
const now = engineTool("now", null, undefined)

const fieldsOf = (choice?: ToolChoice, parallel?: boolean) =>
  Result.getOrThrow(toolFields([add, now], choice, parallel))

describe("toolFields", () => {
  it("has all tools, and the mode and parallel calls of the request", () => {
    assert.deepStrictEqual(fieldsOf(), { tools: [add, now] })
    assert.deepStrictEqual(fieldsOf({ _tag: "Mode", mode: "none" }, false), {
      tools: [add, now],
      tool_choice: "none",
      parallel_tool_calls: false
    })
  })

  it("has only the tools that are chosen by name", () => {
    assert.deepStrictEqual(fieldsOf({ _tag: "Only", names: ["now"], required: true }), {
      tools: [now],
      tool_choice: "required"
    })
    assert.deepStrictEqual(fieldsOf({ _tag: "Only", names: ["now"], required: false }), {
      tools: [now],
      tool_choice: "auto"
    })
  })

  it("is empty without tools", () => {
    assert.deepStrictEqual(Result.getOrThrow(toolFields([], { _tag: "Mode", mode: "auto" })), {})
  })

  it("rejects the choice of a missing tool, and a required call without tools", () => {
    for (const [tools, choice, text] of [
      [[add], { _tag: "Only", names: ["sub"], required: true }, "'tools' has no callable tool 'sub'"],
      [[], { _tag: "Mode", mode: "required" }, "the request has no tool that an engine can call"]
    ] as const) {
      const error = Result.getOrThrow(Result.flip(toolFields(tools, choice)))
      assert.strictEqual(error.param, "tool_choice")
      assert.include(error.reason, text)
    }
  })
})
