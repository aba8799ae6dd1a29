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
const says = (content: string) => chunk({ delta: { content } })
const end = chunk({ delta: {}, finish_reason: "stop" })

const after = (body: GatewayRequest["body"], ...events: ReadonlyArray<JobEvent>) => {
  const answer = new AnswerContinuation(request(body))
  for (const event of events) answer.observe(event)
  return answer
}

const logged = (events: ReadonlyArray<JobEvent>) =>
  events.map(({ json, kind }, index) => ({ id: index + 1, kind, json }))

const saidAfter = (body: GatewayRequest["body"], ...events: ReadonlyArray<JobEvent>) =>
  new AnswerContinuation(request(body)).said(logged(events))

describe("an answer", () => {
  it("has begun when something was said, and not when it was only opened", () => {
    const silent = [
      role,
      chunk({ delta: {} }),
      chunk({ delta: { role: "assistant", content: null, tool_calls: [], refusal: null } }),
      chunk({ text: "" }),
      new JobEvent("chunk", `{"choices":[]}`),
      new JobEvent("narration", "{}")
    ]
    for (const event of silent) assert.isFalse(after({ messages }, event).hasBegun, event.json)
    const telling = [
      says("a"),
      end,
      chunk({ delta: { tool_calls: [{ index: 0 }] } }),
      chunk({ delta: { reasoning_content: "hm" } }),
      chunk({ text: "a" }),
      chunk({ delta: { role: "assistant", content: "" } }, { usage: { prompt_tokens: 1 } }),
      new JobEvent("chunk", "no JSON"),
      new JobEvent("result", "{}")
    ]
    for (const event of telling) assert.isTrue(after({ messages }, event).hasBegun, event.json)
    const second = JSON.stringify({ choices: [{ delta: {} }, { delta: { content: "a" } }] })
    assert.isTrue(after({ messages, n: 2 }, new JobEvent("chunk", second)).hasBegun)
  })

  it("is opened once for a client, however many workers open it", () => {
    const answer = new AnswerContinuation(request({ messages }))
    assert.deepStrictEqual([answer.observe(role), answer.observe(role)], [true, true])
    answer.next(saidAfter({ messages }))
    assert.deepStrictEqual(
      [role, new JobEvent("narration", "{}"), says("a"), role].map((event) => answer.observe(event)),
      [false, true, true, true]
    )
    const unopened = new AnswerContinuation(request({ messages }))
    unopened.next(saidAfter({ messages }))
    assert.isTrue(unopened.observe(role))
  })

  it("is gone on with from its text", () => {
    const events = [role, new JobEvent("narration", "{}"), says("Hel"), says("lo")]
    assert.deepStrictEqual(saidAfter({ messages, max_tokens: 10, seed: 3 }, ...events), {
      length: 5,
      pieces: 2,
      isWhole: false,
      isPossible: true,
      body: {
        messages: [...messages, { role: "assistant", content: "Hello" }],
        max_tokens: 8,
        seed: 3,
        add_generation_prompt: false,
        continue_final_message: true
      }
    })
    assert.isTrue(saidAfter({ messages }, says("a"), end).isWhole)
    assert.isTrue(saidAfter({ messages, tools: [{}] }, says("a"), end).isWhole)
    assert.isFalse(saidAfter({ messages, n: 2 }, says("a"), end).isWhole)
  })

  it("is gone on with in a message of the assistant that the client wrote", () => {
    const begun = [...messages, { role: "assistant", content: "So, " }]
    const { body } = saidAfter({ messages: begun, continue_final_message: true }, says("yes"))
    assert.deepStrictEqual(body["messages"], [...messages, { role: "assistant", content: "So, yes" }])
    const other = saidAfter({ messages: begun }, says("yes")).body["messages"]
    assert.deepStrictEqual(other, [...begun, { role: "assistant", content: "yes" }])
  })

  it("to a prompt is gone on with behind it", () => {
    const answer = new AnswerContinuation(request({ prompt: "The", max_tokens: 2 }, "completions"))
    const events = [" sea", " is", " wide"].map((text) => chunk({ text }))
    assert.deepStrictEqual(answer.said(logged(events)).body, { prompt: "The sea is wide", max_tokens: 1 })
  })

  it("that holds more than text, or was asked for more, is not gone on with", () => {
    for (const body of [
      { messages, tools: [{}] },
      { messages, n: 2 },
      { messages, logprobs: true },
      { messages, response_format: { type: "json_object" } }
    ]) {
      assert.isFalse(saidAfter(body, says("a")).isPossible)
    }
    assert.isTrue(
      saidAfter({ messages, tools: [], n: null, logprobs: false, suffix: "" }, says("a")).isPossible
    )
    assert.isFalse(saidAfter({ messages }, chunk({ delta: { reasoning_content: "hm" } })).isPossible)
    assert.isFalse(new AnswerContinuation(request({ input: "a" }, "embeddings")).said([]).isPossible)
  })

  it("tells what it took as if one worker had written all of it", () => {
    const usage = (prompt_tokens: number, completion_tokens: number) =>
      new JobEvent(
        "chunk",
        JSON.stringify({ choices: [], usage: { prompt_tokens, completion_tokens, total_tokens: 20 } })
      )
    const answer = after({ messages }, role, says("a"), says("b"))
    assert.strictEqual(answer.withCorrectedUsage(usage(10, 10)).json, usage(10, 10).json)
    answer.next(saidAfter({ messages }, role, says("a"), says("b")))
    assert.strictEqual(answer.withCorrectedUsage(usage(12, 8)).json, usage(10, 10).json)
    const cachedOf = (cached_tokens: number) => {
      const usage = { prompt_tokens: 12, completion_tokens: 8, prompt_tokens_details: { cached_tokens } }
      const { json } = answer.withCorrectedUsage(
        new JobEvent("chunk", JSON.stringify({ choices: [], usage }))
      )
      return JSON.parse(json).usage.prompt_tokens_details.cached_tokens
    }
    assert.deepStrictEqual([0, 7, 11].map(cachedOf), [0, 7, 10])
    const quoting = says(`"usage":{`)
    assert.strictEqual(answer.withCorrectedUsage(quoting), quoting)
  })
})
