import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { GatewayRequest } from "../../../src/gateway/upstream/Upstream.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { ask } from "../../support/daemon.ts"
import { startGateway } from "../../support/gateway.ts"

const chunk = (delta: object, finish_reason: string | null = null) =>
  new JobEvent("chunk", JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] }))
const said = [chunk({ content: "Hi" }), chunk({}, "stop")]
const called = [
  chunk({ role: "assistant", content: null }),
  chunk({
    tool_calls: [{ index: 0, id: "c", type: "function", function: { name: "add", arguments: '{"x":' } }]
  }),
  chunk({ tool_calls: [{ index: 0, function: { arguments: "1}" } }] }),
  chunk({}, "tool_calls")
]

const send = (body: object, events: ReadonlyArray<JobEvent> = said, path = "/v1/chat/completions") =>
  Effect.gen(function* () {
    const asked: Array<GatewayRequest> = []
    const { url } = yield* startGateway({
      complete: (request) => {
        asked.push(request)
        return () => Stream.fromIterable(events)
      }
    })
    const text = JSON.stringify({ model: "tiny", ...body })
    const answer = yield* ask(url, { method: "POST", path, body: text })
    return { ...answer, asked: asked[0]?.body }
  })

const messages = [{ role: "user", content: "Hi" }]
const tool = (name: string) => ({ type: "function", function: { name, parameters: { type: "object" } } })
const tools = [tool("add"), tool("sub"), tool("mul")]

describe("OpenAI's chat endpoint", () => {
  it.live("accepts every empty form of the fields of messages and tools", () =>
    Effect.gen(function* () {
      const user = { role: "user", content: "Hi", name: "", tool_calls: null }
      const call = { id: "c", type: "function", function: { name: "add", arguments: "{}" } }
      const { asked, status, text } = yield* send({
        messages: [
          user,
          { role: "assistant", content: null, tool_calls: [], refusal: null, function_call: null },
          { role: "assistant", content: [] },
          { role: "assistant" },
          { role: "assistant", content: [], tool_calls: [call], audio: null },
          { role: "tool", tool_call_id: "c", content: [] }
        ],
        tools: [{ type: "function", function: { name: "add", description: null, parameters: null } }]
      })
      assert.strictEqual(status, 200, text)
      const empty = { role: "assistant", content: "" }
      assert.deepStrictEqual(asked, {
        model: "tiny",
        messages: [
          { role: "user", content: "Hi" },
          empty,
          empty,
          empty,
          { role: "assistant", content: null, tool_calls: [call] },
          { role: "tool", tool_call_id: "c", content: "" }
        ],
        tools: [
          { type: "function", function: { name: "add", parameters: { type: "object", properties: {} } } }
        ]
      })
      for (const path of ["/v1/messages", "/api/chat", "/v1/chat/completions"]) {
        const turns = [user, { role: "assistant", content: null }, { role: "user", content: "Go on" }]
        const nothing = { tools: [], tool_choice: null, metadata: null, stop_sequences: null, stop: null }
        const taken = yield* send({ model: "tiny", max_tokens: 5, messages: turns, ...nothing }, said, path)
        assert.strictEqual(taken.status, 200, taken.text)
      }
    })
  )

  it.live("omits every field that is null", () =>
    Effect.gen(function* () {
      const fields = {
        max_tokens: null,
        temperature: null,
        stop: null,
        n: null,
        seed: null,
        response_format: null,
        stream: null,
        stream_options: null,
        tools: null,
        tool_choice: null,
        parallel_tool_calls: null,
        reasoning_effort: null,
        service_tier: null,
        store: null,
        logprobs: null
      }
      for (const [path, prompt] of [
        ["/v1/chat/completions", { messages }],
        ["/v1/completions", { prompt: "Hi" }]
      ] as const) {
        const { asked, status } = yield* send({ ...prompt, ...fields }, said, path)
        assert.strictEqual(status, 200)
        assert.deepStrictEqual(asked, { model: "tiny", ...prompt })
      }
    })
  )

  it.live("sends instructions with the role that every template supports", () =>
    Effect.gen(function* () {
      const parts = [{ type: "text", text: "Be brief" }]
      const { asked } = yield* send({ messages: [{ role: "developer", content: parts }, ...messages] })
      assert.deepStrictEqual(asked?.["messages"], [{ role: "system", content: parts }, ...messages])
    })
  )

  it.live("accepts each form of tool_choice", () =>
    Effect.gen(function* () {
      const allowed = (mode: string, ...names: ReadonlyArray<string>) => ({
        type: "allowed_tools",
        allowed_tools: { mode, tools: names.map((name) => ({ type: "function", function: { name } })) }
      })
      const cases: ReadonlyArray<readonly [unknown, unknown, unknown]> = [
        ["auto", tools, "auto"],
        ["none", tools, "none"],
        ["required", tools, "required"],
        [{ type: "function", function: { name: "sub" } }, [tool("sub")], "required"],
        [allowed("auto", "add", "mul"), [tool("add"), tool("mul")], "auto"],
        [allowed("required", "mul"), [tool("mul")], "required"]
      ]
      for (const [tool_choice, left, mode] of cases) {
        const { asked } = yield* send({ messages, tools, tool_choice, parallel_tool_calls: false })
        assert.deepStrictEqual(asked, {
          model: "tiny",
          messages,
          tools: left,
          tool_choice: mode,
          parallel_tool_calls: false
        })
      }
      const { asked } = yield* send({ messages, tools: [], tool_choice: "auto" })
      assert.deepStrictEqual(asked, { model: "tiny", messages })
    })
  )

  it.live("rejects the choice of a tool that is not in the list", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [object, string]> = [
        [{ tools, tool_choice: { type: "function", function: { name: "div" } } }, "tool_choice"],
        [{ tools: [], tool_choice: { type: "function", function: { name: "add" } } }, "tool_choice"],
        [{ tool_choice: { type: "function", function: { name: "add" } } }, "tools"]
      ]
      for (const [body, param] of cases) {
        const { status, text } = yield* send({ messages, ...body })
        assert.deepStrictEqual([status, JSON.parse(text).error.param], [400, param])
      }
    })
  )

  it.live("accepts the deprecated functions, and answers in their form", () =>
    Effect.gen(function* () {
      const definition = { name: "add", parameters: { type: "object" } }
      const history = [
        ...messages,
        { role: "assistant", content: null, function_call: { name: "add", arguments: "{}" } },
        { role: "function", name: "add", content: "2" }
      ]
      const body = { messages: history, functions: [definition], function_call: { name: "add" } }
      const { asked, text } = yield* send(body, called)
      const call = { id: "call_1", type: "function", function: { name: "add", arguments: "{}" } }
      assert.deepStrictEqual(asked, {
        model: "tiny",
        messages: [
          ...messages,
          { role: "assistant", content: null, tool_calls: [call] },
          { role: "tool", tool_call_id: "call_1", content: "2" }
        ],
        tools: [tool("add")],
        tool_choice: "required",
        parallel_tool_calls: false
      })
      const [choice] = JSON.parse(text).choices
      assert.strictEqual(choice.finish_reason, "function_call")
      assert.deepStrictEqual(choice.message, {
        role: "assistant",
        content: null,
        refusal: null,
        function_call: { name: "add", arguments: '{"x":1}' }
      })
      const streamed = yield* send({ ...body, stream: true, function_call: "auto" }, called)
      const choices = streamed.text
        .split("\n\n")
        .filter((frame) => frame.startsWith("data: {"))
        .map((frame) => JSON.parse(frame.slice("data: ".length)).choices[0])
      assert.deepStrictEqual(
        choices.map(({ delta, finish_reason }) => delta.function_call ?? finish_reason),
        [null, { name: "add", arguments: '{"x":' }, { arguments: "1}" }, "function_call"]
      )
      assert.isTrue(streamed.text.endsWith("data: [DONE]\n\n"))
    })
  )
})
