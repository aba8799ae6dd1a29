import { assert, describe, it } from "@effect/vitest"
import { sseFrame } from "../../src/http/SseFrame.ts"

describe("sseFrame", () => {
  it("writes the data, and the event's name and number if they are given", () => {
    assert.strictEqual(sseFrame("{}"), "data: {}\n\n")
    assert.strictEqual(sseFrame("{}", "token"), "event: token\ndata: {}\n\n")
    assert.strictEqual(sseFrame("{}", "token", 7), "id: 7\nevent: token\ndata: {}\n\n")
  })

  it("writes a data line for each line of the data", () => {
    assert.strictEqual(sseFrame("a\n\nb"), "data: a\ndata: \ndata: b\n\n")
  })
})
