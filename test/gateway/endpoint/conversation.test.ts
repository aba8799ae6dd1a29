import { assert, describe, it } from "@effect/vitest"
import {
  contentOf,
  imagePart,
  mergeTurns,
  placeSystem,
  textPart
} from "../../../src/gateway/endpoint/conversation.ts"
import type { EngineMessage } from "../../../src/gateway/endpoint/reading.ts"

const user = (content: EngineMessage["content"]): EngineMessage => ({ role: "user", content })
const system = (content: string): EngineMessage => ({ role: "system", content })
const assistant = (content: string | null, more: Partial<EngineMessage> = {}): EngineMessage => ({
  role: "assistant",
  content,
  ...more
})
const call = { id: "1", type: "function", function: { name: "add", arguments: "{}" } } as const

describe("contentOf", () => {
  it("is one string for texts, without empty ones", () => {
    assert.strictEqual(contentOf([textPart("a"), textPart(""), textPart("b")]), "a\n\nb")
  })

  it("is the list of parts if it has an image", () => {
    const parts = [textPart("a"), imagePart("data:image/png;base64,AA==")]
    assert.deepStrictEqual(contentOf(parts), parts)
  })
})

describe("mergeTurns", () => {
  it("merges consecutive turns of one role, with their reasoning and calls", () => {
    assert.deepStrictEqual(
      mergeTurns([
        user("a"),
        user("b"),
        assistant(null, { reasoning_content: "r" }),
        assistant(null, { tool_calls: [call], reasoning_content: "s" })
      ]),
      [user("a\n\nb"), assistant(null, { reasoning_content: "r\n\ns", tool_calls: [call] })]
    )
  })

  it("keeps tool results apart", () => {
    const results: ReadonlyArray<EngineMessage> = [
      { role: "tool", content: "1", tool_call_id: "1" },
      { role: "tool", content: "2", tool_call_id: "2" }
    ]
    assert.deepStrictEqual(mergeTurns(results), results)
  })
})

describe("placeSystem", () => {
  it("moves instructions before the first answer to the beginning, in their order", () => {
    assert.deepStrictEqual(placeSystem([user("a"), system("s"), user("b"), system("t")]), [
      system("s"),
      system("t"),
      user("a"),
      user("b")
    ])
  })

  it("makes later instructions text of the user, where they are", () => {
    assert.deepStrictEqual(placeSystem([system("s"), user("a"), assistant("x"), system("t"), user("b")]), [
      system("s"),
      user("a"),
      assistant("x"),
      user("t"),
      user("b")
    ])
  })
})
