import { assert, describe, it } from "@effect/vitest"
import { CollectedAnswer } from "../../../src/gateway/endpoint/CollectedAnswer.ts"
import { TokenMeter } from "../../../src/gateway/keys/TokenMeter.ts"
import { JobEvent, type LoggedEvent } from "../../../src/job/log/JobEvent.ts"
import { counted, piece } from "../../support/endpointAnswers.ts"

const logged = (id: number, { json, kind }: Pick<JobEvent, "json" | "kind">): LoggedEvent => ({
  id,
  kind,
  json
})
const chunk = (id: number, json: string) => logged(id, { kind: "chunk", json })
const done = JobEvent.done({ queued_ms: 0, run_ms: 1 })

const part = (index: number, tokens: number) =>
  JSON.stringify({
    model: "m",
    data: [{ index, embedding: [index] }],
    usage: { prompt_tokens: tokens }
  })

const collect = (...events: ReadonlyArray<LoggedEvent>) => {
  const meter = new TokenMeter("", true)
  const answer = new CollectedAnswer(meter)
  for (const event of events) answer.add([event])
  return { answer, meter }
}

describe("CollectedAnswer", () => {
  it("keeps the chunks in their order, without narration", () => {
    const { answer } = collect(
      logged(1, JobEvent.narration("a", "b", "c")),
      chunk(2, "x"),
      chunk(3, "y"),
      logged(4, done)
    )
    assert.deepStrictEqual(answer.chunksAfter(0), ["x", "y"])
    assert.isUndefined(answer.failure)
  })

  it("leaves out the chunks of a worker whose answer was restarted", () => {
    const { answer } = collect(chunk(2, "lost"), chunk(5, "x"), chunk(6, "y"))
    assert.deepStrictEqual(answer.chunksAfter(2), ["x", "y"])
  })

  it("has the failure of the job", () => {
    const { answer } = collect(
      chunk(1, "x"),
      logged(2, JobEvent.failed({ code: "AnswerLost", message: "gone" }))
    )
    assert.deepInclude(answer.failure, { status: 502, code: "AnswerLost", message: "gone" })
  })

  it("has the job's result as its document, unchanged", () => {
    const { answer, meter } = collect(
      logged(1, { kind: "result", json: `{ "usage":{"prompt_tokens":5,"completion_tokens":0} }` })
    )
    assert.strictEqual(answer.documentAfter(0, {}), `{ "usage":{"prompt_tokens":5,"completion_tokens":0} }`)
    assert.strictEqual(meter.tokens, 5)
  })

  it("merges the documents of a divided request, and counts their tokens once", () => {
    const { answer, meter } = collect(chunk(1, part(9, 100)), chunk(3, part(1, 4)), chunk(4, part(0, 3)))
    assert.deepStrictEqual(JSON.parse(answer.documentAfter(2, {}) ?? ""), {
      object: "list",
      model: "m",
      data: [
        { object: "embedding", index: 0, embedding: [0] },
        { object: "embedding", index: 1, embedding: [1] }
      ],
      usage: { prompt_tokens: 7, total_tokens: 7 }
    })
    assert.strictEqual(meter.tokens, 7)
  })

  it("has no document if a part is invalid", () => {
    assert.isUndefined(collect(chunk(1, part(0, 1)), chunk(2, "{}")).answer.documentAfter(0, {}))
  })

  it("gives the meter the engine's usage", () => {
    const { meter } = collect(chunk(1, piece({ content: "Hi" })), chunk(2, counted()), logged(3, done))
    assert.strictEqual(meter.tokens, 9)
  })
})
