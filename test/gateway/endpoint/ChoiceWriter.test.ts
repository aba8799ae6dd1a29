import { assert, describe, it } from "@effect/vitest"
import { ChoiceWriter } from "../../../src/gateway/endpoint/ChoiceWriter.ts"
import type { ChoicePiece } from "../../../src/job/view/EngineChunk.ts"

class TestWriter extends ChoiceWriter {
  failed() {
    return `${this.startOnce()}failed`
  }
  protected start() {
    return "<"
  }
  protected piece({ text }: ChoicePiece) {
    return text
  }
  protected finish() {
    return `> ${this.finishReason} ${JSON.stringify(this.usage ?? null)}`
  }
}

const writer = () =>
  new TestWriter({ jobId: "job-1", model: "m", askedAt: 0, now: () => 0, placement: () => undefined })

const chunk = (index: number, content: string, finish_reason: string | null = null) =>
  JSON.stringify({ choices: [{ index, delta: { content }, finish_reason }] })

describe("ChoiceWriter", () => {
  it("writes the start once, the pieces of the first choice, and the end", () => {
    const answer = writer()
    const written = [
      answer.chunk("not JSON"),
      answer.chunk(chunk(0, "a")),
      answer.chunk(chunk(1, "other")),
      answer.chunk(chunk(0, "b", "length")),
      answer.chunk(JSON.stringify({ choices: [], usage: { completion_tokens: 2 } })),
      answer.end()
    ]
    assert.deepStrictEqual(written, ["", "<a", "", "b", "", '> length {"completion_tokens":2}'])
  })

  it("starts an empty answer before its end", () => {
    assert.strictEqual(writer().end(), "<> stop null")
    assert.strictEqual(writer().failed(), "<failed")
  })
})
