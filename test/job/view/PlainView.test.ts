import { assert, describe, it } from "@effect/vitest"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { toFrame } from "../../../src/job/view/FullView.ts"
import { narrationLine, PlainRenderer } from "../../../src/job/view/PlainView.ts"

const rendered = (...events: ReadonlyArray<JobEvent>) => {
  const renderer = new PlainRenderer("job-1")
  return events.map(({ json, kind }, i) => renderer.render({ id: i + 1, json, kind })).join("")
}

describe("narration", () => {
  it("is padded, and not cut", () => {
    assert.strictEqual(narrationLine("abc", "xyz", "Short"), "[abc       ] xyz            : Short")
    assert.strictEqual(
      narrationLine("test-actor", "test-action", "Test message"),
      "[test-actor] test-action    : Test message"
    )
    assert.strictEqual(
      narrationLine("a-longer-actor", "a-much-longer-action", "x"),
      "[a-longer-actor] a-much-longer-action: x"
    )
  })
})

describe("the plain view", () => {
  it("has the bytes of the contract", () => {
    assert.strictEqual(
      rendered(
        JobEvent.narration("qn-router", "route_job", "Executing operation: worker_list", "job-1"),
        JobEvent.token("Hello"),
        JobEvent.done({ queued_ms: 0, run_ms: 1 })
      ),
      "data: [qn-router ] route_job      : Executing operation: worker_list\n\ndata: Hello\n\ndata: [DONE]\n\n"
    )
    assert.strictEqual(rendered(JobEvent.cancelled(true)), "data: [CANCELLED]\n\n")
    assert.strictEqual(
      rendered(JobEvent.failed({ code: "X", message: "It broke\nbadly" })),
      "data: [job-exec  ] failed         : Job job-1 failed: It broke badly\n\ndata: [ERROR] It broke badly\n\n"
    )
  })

  it("makes several data lines of a newline, and never writes a CR", () => {
    assert.strictEqual(rendered(JobEvent.token("a\nb\r\nc\rd")), "data: a\ndata: b\ndata: c\ndata: d\n\n")
    assert.strictEqual(rendered(JobEvent.token("\n")), "data: \ndata: \n\n")
    assert.strictEqual(rendered(JobEvent.token(" lead")), "data:  lead\n\n")
  })

  it("tells an end marker in the text from the end", () => {
    assert.strictEqual(rendered(JobEvent.token("[DONE]")), "data:  [DONE]\n\n")
    assert.strictEqual(rendered(JobEvent.token("[CANCELLED]")), "data:  [CANCELLED]\n\n")
    assert.strictEqual(rendered(JobEvent.token("[ERROR] x")), "data:  [ERROR] x\n\n")
    assert.strictEqual(rendered(JobEvent.token("so [DONE] it is")), "data: so [DONE] it is\n\n")
  })

  it("shows the text of an engine's chunks, and nothing of those that have none", () => {
    const chunk = (choice: object) => new JobEvent("chunk", JSON.stringify({ choices: [choice] }))
    const chat = [{ role: "assistant", content: "" }, { content: "Hello" }, { content: "\n[DONE]" }]
    assert.strictEqual(
      rendered(
        ...chat.map((delta) => chunk({ index: 0, delta })),
        chunk({ index: 1, delta: { content: "x" } })
      ),
      "data: Hello\n\ndata: \ndata: [DONE]\n\n"
    )
    assert.strictEqual(rendered(chunk({ index: 0, text: "[DONE]" })), "data:  [DONE]\n\n")
    assert.strictEqual(rendered(new JobEvent("chunk", "not JSON")), "data: not JSON\n\n")
  })

  it("shows a result's text only when no token was written", () => {
    const result = JobEvent.result({ text: "all of it", finish_reason: "stop", usage: {} })
    assert.strictEqual(rendered(result), "data: all of it\n\n")
    assert.strictEqual(rendered(JobEvent.token("all"), result), "data: all\n\n")
  })

  it("shows lists as tables", () => {
    assert.strictEqual(
      rendered(
        JobEvent.result({
          workers: [
            { id: "w1", model: "日本" },
            { id: "w22", port: 5 }
          ]
        })
      ),
      "data: id   model  port\ndata: w1   日本   -\ndata: w22  -      5\n\n"
    )
    assert.strictEqual(rendered(JobEvent.result({ workers: [] })), "data: No workers.\n\n")
    assert.strictEqual(
      rendered(JobEvent.result({ id: "w1", state: "ready" })),
      "data: id:     w1\ndata: state:  ready\n\n"
    )
  })

  it("says what a job waits for", () => {
    const renderer = new PlainRenderer("job-1")
    const { json, kind } = JobEvent.narration(
      "qn-fwd",
      "forward_start",
      "Forwarding infer operation to hive 'a'"
    )
    renderer.render({ id: 1, json, kind })
    assert.strictEqual(
      renderer.waiting(3),
      "data: [qn-fwd    ] waiting        : Forwarding infer operation to hive 'a' (3 s)\n\n"
    )
  })

  it("shows progress in words", () => {
    assert.strictEqual(
      rendered(JobEvent.progress({ stage: "download", current: 5, total: 10, unit: "bytes", eta_ms: 1500 })),
      "data: [progress  ] progress       : download: 5.0 B of 10.0 B (50%), 2 s left\n\n"
    )
  })
})

describe("the full view", () => {
  it("has id, kind and data", () => {
    assert.strictEqual(
      toFrame({ id: 7, kind: "token", json: `{"text":"a"}` }),
      `id: 7\nevent: token\ndata: {"text":"a"}\n\n`
    )
    assert.strictEqual(
      toFrame({ id: 8, kind: "result", json: `{\n"a":1}` }),
      `id: 8\nevent: result\ndata: {\ndata: "a":1}\n\n`
    )
  })
})
