import { assert, describe, it } from "@effect/vitest"
import { publicModels, type GatewayRequest } from "../../../src/gateway/upstream/Upstream.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { AnswerContinuation } from "../../../src/queen/fleet/AnswerContinuation.ts"
import { storedModel } from "../../support/gateway.ts"

const [model] = publicModels([{ hive: "atlas", models: [storedModel("rbee:tiny")] }], {})

const request = (
  body: GatewayRequest["body"],
  api: GatewayRequest["api"] = "chat/completions"
): GatewayRequest => {
  assert.isDefined(model)
  return {
    model,
    api,
    body,
    prompt: "",
    key: "",
    priority: 0,
    isStreamed: true,
    onRestarted: () => {},
    onPlaced: () => {}
  }
}

const messages = [{ role: "user", content: "Hi" }]
const chunk = (choice: object, more: object = {}) =>
  new JobEvent("chunk", JSON.stringify({ choices: [{ index: 0, finish_reason: null, ...choice }], ...more }))
const role = chunk({ delta: { role: "assistant", content: "" } })
const content = (content: string) => chunk({ delta: { content } })
const end = chunk({ delta: {}, finish_reason: "stop" })

const after = (body: GatewayRequest["body"], ...events: ReadonlyArray<JobEvent>) => {
  const answer = new AnswerContinuation(request(body))
  for (const event of events) answer.observe(event)
  return answer
}

const logged = (events: ReadonlyArray<JobEvent>) =>
  events.map(({ json, kind }, index) => ({ id: index + 1, kind, json }))

const deliveredAfter = (body: GatewayRequest["body"], ...events: ReadonlyArray<JobEvent>) =>
  new AnswerContinuation(request(body)).delivered(logged(events))

describe("an answer", () => {
  it("has begun with its first content, and not with an opening", () => {
    const silent = [
      role,
      chunk({ delta: {} }),
      chunk({ delta: { role: "assistant", content: null, tool_calls: [], refusal: null } }),
      chunk({ text: "" }),
      new JobEvent("chunk", `{"choices":[]}`),
      new JobEvent("narration", "{}")
    ]
    for (const event of silent) assert.isFalse(after({ messages }, event).hasBegun, event.json)
    const withContent = [
      content("a"),
      end,
      chunk({ delta: { tool_calls: [{ index: 0 }] } }),
      chunk({ delta: { reasoning_content: "hm" } }),
      chunk({ text: "a" }),
      chunk({ delta: { role: "assistant", content: "" } }, { usage: { prompt_tokens: 1 } }),
      new JobEvent("chunk", "no JSON"),
      new JobEvent("result", "{}")
    ]
    for (const event of withContent) assert.isTrue(after({ messages }, event).hasBegun, event.json)
    const second = JSON.stringify({ choices: [{ delta: {} }, { delta: { content: "a" } }] })
    assert.isTrue(after({ messages, n: 2 }, new JobEvent("chunk", second)).hasBegun)
  })

  it("is opened once for the client, even if several workers open it", () => {
    const answer = new AnswerContinuation(request({ messages }))
    assert.deepStrictEqual([answer.observe(role), answer.observe(role)], [true, true])
    answer.next(deliveredAfter({ messages }))
    assert.deepStrictEqual(
      [role, new JobEvent("narration", "{}"), content("a"), role].map((event) => answer.observe(event)),
      [false, true, true, true]
    )
    const unopened = new AnswerContinuation(request({ messages }))
    unopened.next(deliveredAfter({ messages }))
    assert.isTrue(unopened.observe(role))
  })

  it("continues after its delivered text, with the tokens that are left", () => {
    const events = [role, new JobEvent("narration", "{}"), content("Hel"), content("lo")]
    assert.deepStrictEqual(deliveredAfter({ messages, max_tokens: 10, seed: 3 }, ...events), {
      length: 5,
      pieces: 2,
      isComplete: false,
      canContinue: true,
      body: {
        messages: [...messages, { role: "assistant", content: "Hello" }],
        max_tokens: 8,
        seed: 3,
        add_generation_prompt: false,
        continue_final_message: true
      }
    })
    assert.isTrue(deliveredAfter({ messages }, content("a"), end).isComplete)
    assert.isTrue(deliveredAfter({ messages, tools: [{}] }, content("a"), end).isComplete)
    assert.isFalse(deliveredAfter({ messages, n: 2 }, content("a"), end).isComplete)
  })

  it("continues in the message of the assistant that the client had it continue", () => {
    const begun = [...messages, { role: "assistant", content: "So, " }]
    const { body } = deliveredAfter({ messages: begun, continue_final_message: true }, content("yes"))
    assert.deepStrictEqual(body["messages"], [...messages, { role: "assistant", content: "So, yes" }])
    const other = deliveredAfter({ messages: begun }, content("yes")).body["messages"]
    assert.deepStrictEqual(other, [...begun, { role: "assistant", content: "yes" }])
  })

  it("to a prompt continues after prompt and text", () => {
    const answer = new AnswerContinuation(request({ prompt: "The", max_tokens: 2 }, "completions"))
    const events = [" sea", " is", " wide"].map((text) => chunk({ text }))
    assert.deepStrictEqual(answer.delivered(logged(events)).body, {
      prompt: "The sea is wide",
      max_tokens: 1
    })
  })

  it("does not continue if it has more than text, or if more was requested", () => {
    for (const body of [
      { messages, tools: [{}] },
      { messages, n: 2 },
      { messages, logprobs: true },
      { messages, response_format: { type: "json_object" } }
    ]) {
      assert.isFalse(deliveredAfter(body, content("a")).canContinue)
    }
    assert.isTrue(
      deliveredAfter({ messages, tools: [], n: null, logprobs: false, suffix: "" }, content("a")).canContinue
    )
    assert.isFalse(deliveredAfter({ messages }, chunk({ delta: { reasoning_content: "hm" } })).canContinue)
    assert.isFalse(new AnswerContinuation(request({ input: "a" }, "embeddings")).delivered([]).canContinue)
  })

  it("reports its usage as if one worker had written all of it", () => {
    const usage = (prompt_tokens: number, completion_tokens: number) =>
      new JobEvent(
        "chunk",
        JSON.stringify({ choices: [], usage: { prompt_tokens, completion_tokens, total_tokens: 20 } })
      )
    const answer = after({ messages }, role, content("a"), content("b"))
    assert.strictEqual(answer.withCorrectedUsage(usage(10, 10)).json, usage(10, 10).json)
    answer.next(deliveredAfter({ messages }, role, content("a"), content("b")))
    assert.strictEqual(answer.withCorrectedUsage(usage(12, 8)).json, usage(10, 10).json)
    const cachedOf = (cached_tokens: number) => {
      const usage = { prompt_tokens: 12, completion_tokens: 8, prompt_tokens_details: { cached_tokens } }
      const { json } = answer.withCorrectedUsage(
        new JobEvent("chunk", JSON.stringify({ choices: [], usage }))
      )
      return JSON.parse(json).usage.prompt_tokens_details.cached_tokens
    }
    assert.deepStrictEqual([0, 7, 11].map(cachedOf), [0, 7, 10])
    const quoting = content(`"usage":{`)
    assert.strictEqual(answer.withCorrectedUsage(quoting), quoting)
  })
})
