import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { GatewayRequest } from "../../../src/gateway/upstream/Upstream.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { logOf } from "../../support/applications.ts"
import { ask } from "../../support/daemon.ts"
import { startGateway } from "../../support/gateway.ts"

const chunk = (delta: object, finish_reason: string | null = null, more: object = {}) =>
  new JobEvent("chunk", JSON.stringify({ choices: [{ index: 0, delta, finish_reason, ...more }] }))
const said = [chunk({ content: "Hi" }), chunk({}, "stop")]

/** Sends a body, gives the answer, what the engine was asked, and what the job's log reports of what is left out. */
const send = (path: string, body: object, events: ReadonlyArray<JobEvent> = said) =>
  Effect.gen(function* () {
    const asked: Array<GatewayRequest> = []
    const { url } = yield* startGateway({
      complete: (request) => {
        asked.push(request)
        return () => Stream.fromIterable(events)
      }
    })
    const { headers, status, text } = yield* ask(url, { method: "POST", path, body: JSON.stringify(body) })
    const job = headers["x-rbee-job-id"]
    const log = typeof job === "string" ? yield* logOf(url, job) : ""
    const omitted = log
      .split("\n")
      .filter((line) => line.startsWith('data: {"actor":"gateway","action":"omit"'))
      .map((line): string => JSON.parse(line.slice("data: ".length)).message)
    return { status, text, asked: asked[0]?.body ?? {}, omitted }
  })

const user = { role: "user", content: "Hi" }
const png = "iVBORw0KGgo="
const tool = { name: "add", description: "Adds", input_schema: { type: "object" } }
const engineTool = {
  type: "function",
  function: { name: "add", description: "Adds", parameters: { type: "object" } }
}

describe("a conversation in Anthropic's format", () => {
  const messages = (turns: ReadonlyArray<object>, more: object = {}) =>
    send("/v1/messages", { model: "tiny", max_tokens: 9, messages: turns, ...more })

  it.live("becomes one with a single system message, also for instructions among the messages", () =>
    Effect.gen(function* () {
      const system = [
        { type: "text", text: "One", cache_control: { type: "ephemeral" } },
        { type: "text", text: "Two" }
      ]
      const { asked } = yield* messages([user, { role: "system", content: "Three" }], { system })
      assert.deepStrictEqual(asked["messages"], [{ role: "system", content: "One\n\nTwo\n\nThree" }, user])
      const inside = [{ role: "system", content: [{ type: "text", text: "Only" }] }, user]
      assert.deepStrictEqual((yield* messages(inside)).asked["messages"], [
        { role: "system", content: "Only" },
        user
      ])
    })
  )

  it.live("keeps its beginning if instructions come later, and alternates its roles", () =>
    Effect.gen(function* () {
      const answer = { role: "assistant", content: "Hello" }
      const { asked } = yield* messages([
        user,
        answer,
        { role: "user", content: "Go on" },
        { role: "system", content: "Be brief" },
        { role: "user", content: [{ type: "text", text: "Please" }] }
      ])
      assert.deepStrictEqual(asked["messages"], [
        user,
        answer,
        { role: "user", content: "Go on\n\nBe brief\n\nPlease" }
      ])
    })
  )

  it.live("forwards images of the user and of tools", () =>
    Effect.gen(function* () {
      const image = { type: "image", source: { type: "base64", media_type: "image/png", data: png } }
      const linked = { type: "image", source: { type: "url", url: "https://example.org/x.png" } }
      const part = (url: string) => ({ type: "image_url", image_url: { url } })
      const { asked } = yield* messages([
        { role: "user", content: [{ type: "text", text: "See" }, image, linked] },
        { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "shot", input: {} }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: [image] }] }
      ])
      const data = part(`data:image/png;base64,${png}`)
      assert.deepStrictEqual(asked["messages"], [
        { role: "user", content: [{ type: "text", text: "See" }, data, part("https://example.org/x.png")] },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "t1", type: "function", function: { name: "shot", arguments: "{}" } }]
        },
        { role: "tool", tool_call_id: "t1", content: [data] }
      ])
    })
  )

  it.live("renders every block of a tool's result, also blocks of unknown types", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [object, string]> = [
        [{ content: "2" }, "2"],
        [{}, ""],
        [{ content: null }, ""],
        [{ content: "no such file", is_error: true }, "The tool failed:\n\nno such file"],
        [{ content: [{ type: "document", source: { type: "text", data: "A page" } }] }, "A page"],
        [
          {
            content: [
              {
                type: "document",
                title: "T",
                source: { type: "content", content: [{ type: "text", text: "x" }] }
              }
            ]
          },
          "T\n\nx"
        ],
        [
          { content: [{ type: "search_result", title: "S", content: [{ type: "text", text: "found" }] }] },
          "S\n\nfound"
        ],
        [
          { content: [{ type: "tool_reference", tool_name: "add", cache_control: { type: "ephemeral" } }] },
          '{"type":"tool_reference","tool_name":"add"}'
        ]
      ]
      for (const [result, text] of cases) {
        const { asked, status } = yield* messages([
          { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", ...result }] }
        ])
        assert.strictEqual(status, 200)
        assert.deepStrictEqual(asked["messages"], [{ role: "tool", tool_call_id: "t1", content: text }])
      }
    })
  )

  it.live("omits what only Anthropic can run, with a line in the job's log", () =>
    Effect.gen(function* () {
      const { asked, omitted, status } = yield* messages(
        [
          user,
          {
            role: "assistant",
            content: [
              { type: "server_tool_use", id: "s", name: "web_search", input: {} },
              { type: "web_search_tool_result", tool_use_id: "s", content: [] },
              { type: "redacted_thinking", data: "x" },
              { type: "text", text: "Found" }
            ]
          },
          user
        ],
        {
          tools: [tool, { type: "web_search_20250305", name: "web_search", max_uses: 5 }],
          tool_choice: { type: "none" },
          thinking: { type: "adaptive" },
          context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
          output_config: { effort: "high" },
          metadata: { user_id: "u", more: { deep: 1 } },
          mcp_servers: [],
          betas: ["x"]
        }
      )
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(asked, {
        messages: [user, { role: "assistant", content: "Found" }, user],
        tools: [engineTool],
        tool_choice: "none",
        max_tokens: 9
      })
      assert.deepStrictEqual(omitted, [
        "Blocks of the type 'server_tool_use' in answers are ignored",
        "Blocks of the type 'web_search_tool_result' in answers are ignored",
        "The tool 'web_search' is ignored: Anthropic's servers run tools of the type 'web_search_20250305'"
      ])
    })
  )

  it.live("lists only the forced tool, because not every engine supports choices by name", () =>
    Effect.gen(function* () {
      const { asked } = yield* messages([user], {
        tools: [tool, { ...tool, name: "sub" }],
        tool_choice: { type: "tool", name: "add" }
      })
      assert.deepInclude(asked, { tools: [engineTool], tool_choice: "required" })
    })
  )

  it.live("counts cached tokens once, and names the stop sequence that the engine reports", () =>
    Effect.gen(function* () {
      const usage = {
        prompt_tokens: 100,
        completion_tokens: 3,
        prompt_tokens_details: { cached_tokens: 90 }
      }
      const told = new JobEvent("chunk", JSON.stringify({ choices: [], usage }))
      for (const field of ["stop_reason", "matched_stop"]) {
        const end = chunk({}, "stop", { [field]: "END" })
        const { text } = yield* send(
          "/v1/messages",
          { model: "tiny", max_tokens: 9, messages: [user], stop_sequences: ["END"] },
          [chunk({ content: "Hi" }), end, told]
        )
        const answer = JSON.parse(text)
        assert.deepInclude(answer, { stop_reason: "stop_sequence", stop_sequence: "END" })
        assert.deepInclude(answer.usage, { input_tokens: 10, cache_read_input_tokens: 90 })
      }
      // What the template ends a turn with is no stop sequence of the request; nor is the id of a token.
      for (const reported of ["<|im_end|>", 2]) {
        const { text } = yield* send(
          "/v1/messages",
          { model: "tiny", max_tokens: 9, messages: [user], stop_sequences: ["END"] },
          [chunk({}, "stop", { stop_reason: reported })]
        )
        assert.deepInclude(JSON.parse(text), { stop_reason: "end_turn", stop_sequence: null })
      }
    })
  )

  it.live("gives each call an id if the engine gave none", () =>
    Effect.gen(function* () {
      const call = (index: number) =>
        chunk({ tool_calls: [{ index, function: { name: "add", arguments: "{}" } }] })
      const { text } = yield* send(
        "/v1/messages",
        { model: "tiny", max_tokens: 9, messages: [user], tools: [tool] },
        [call(0), call(1), chunk({}, "tool_calls")]
      )
      const ids = JSON.parse(text).content.map(({ id }: { readonly id: string }) => id)
      assert.strictEqual(new Set(ids).size, 2)
      for (const id of ids) assert.match(id, /^toolu_\w/)
    })
  )
})

describe("a conversation in the format of OpenAI's responses", () => {
  const respond = (body: object, events?: ReadonlyArray<JobEvent>) =>
    send("/v1/responses", { model: "tiny", ...body }, events)
  const callable = { type: "function", name: "add", description: "Adds", parameters: { type: "object" } }

  it.live("omits tools that engines do not have, with a line in the job's log", () =>
    Effect.gen(function* () {
      const { asked, omitted, status } = yield* respond({
        input: "Hi",
        tools: [
          callable,
          { type: "namespace", name: "agents", description: "x", tools: [callable] },
          { type: "web_search", external_web_access: true },
          { type: "custom", name: "apply_patch", format: { type: "grammar" } },
          { type: "local_shell" }
        ],
        tool_choice: "auto",
        parallel_tool_calls: true,
        reasoning: { effort: "high", summary: "auto" },
        store: false,
        include: ["reasoning.encrypted_content"],
        prompt_cache_key: "k",
        client_metadata: { a: "b" },
        service_tier: "auto"
      })
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(asked, {
        messages: [user],
        tools: [engineTool],
        tool_choice: "auto",
        parallel_tool_calls: true
      })
      assert.deepStrictEqual(omitted, [
        "The tool 'agents' of the type 'namespace' is ignored: engines support functions only",
        "The tool 'web_search' is ignored: engines support functions only",
        "The tool 'apply_patch' of the type 'custom' is ignored: engines support functions only",
        "The tool 'local_shell' is ignored: engines support functions only"
      ])
    })
  )

  it.live("is read from items, including calls of other tools and reasoning", () =>
    Effect.gen(function* () {
      const call = (id: string, name: string, given: string) => ({
        id,
        type: "function",
        function: { name, arguments: given }
      })
      const { asked, omitted } = yield* respond({
        instructions: "One",
        input: [
          { type: "message", role: "developer", content: [{ type: "input_text", text: "Two" }] },
          { role: "user", content: "Hi" },
          { type: "reasoning", id: "r", summary: [], content: [{ type: "reasoning_text", text: "hm" }] },
          { type: "reasoning", id: "r2", summary: [], encrypted_content: "x" },
          { type: "function_call", call_id: "a", name: "add", arguments: "{}", status: "completed" },
          { type: "custom_tool_call", call_id: "b", name: "patch", input: "x" },
          { type: "local_shell_call", call_id: "c", action: { type: "exec", command: ["ls"] } },
          { type: "function_call_output", call_id: "a", output: "1" },
          { type: "custom_tool_call_output", call_id: "b", output: [{ type: "input_text", text: "2" }] },
          { type: "local_shell_call_output", call_id: "c", output: "3" },
          { type: "web_search_call", id: "w", status: "completed", action: {} },
          { type: "made_up_item" },
          { role: "assistant", content: [{ type: "refusal", refusal: "No" }] },
          { role: "user", content: [{ type: "input_image", image_url: "data:image/png;base64,AA" }] }
        ]
      })
      assert.deepStrictEqual(asked["messages"], [
        { role: "system", content: "One\n\nTwo" },
        user,
        {
          role: "assistant",
          content: null,
          reasoning_content: "hm",
          tool_calls: [
            call("a", "add", "{}"),
            call("b", "patch", '{"input":"x"}'),
            call("c", "local_shell", '{"type":"exec","command":["ls"]}')
          ]
        },
        { role: "tool", tool_call_id: "a", content: "1" },
        { role: "tool", tool_call_id: "b", content: "2" },
        { role: "tool", tool_call_id: "c", content: "3" },
        { role: "assistant", content: "No" },
        { role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AA" } }] }
      ])
      assert.deepStrictEqual(omitted, [
        "Items of the type 'web_search_call' in 'input' are ignored",
        "Items of the type 'made_up_item' in 'input' are ignored"
      ])
    })
  )

  it.live("accepts each form of tool_choice", () =>
    Effect.gen(function* () {
      const other = { ...callable, name: "sub" }
      const two = [engineTool, { ...engineTool, function: { ...engineTool.function, name: "sub" } }]
      const cases: ReadonlyArray<readonly [unknown, object]> = [
        [null, { tools: two }],
        ["auto", { tools: two, tool_choice: "auto" }],
        ["none", { tools: two, tool_choice: "none" }],
        ["required", { tools: two, tool_choice: "required" }],
        [
          { type: "function", name: "add" },
          { tools: [engineTool], tool_choice: "required" }
        ],
        [
          { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "add" }] },
          { tools: [engineTool], tool_choice: "auto" }
        ]
      ]
      for (const [tool_choice, expected] of cases) {
        const { asked } = yield* respond({ input: "Hi", tools: [callable, other], tool_choice })
        assert.deepStrictEqual(asked, { messages: [user], ...expected })
      }
      for (const type of ["web_search", "custom"]) {
        const { status, text } = yield* respond({ input: "Hi", tools: [callable], tool_choice: { type } })
        assert.deepStrictEqual([status, JSON.parse(text).error.param], [400, "tool_choice"])
      }
    })
  )

  it.live("is rejected with the field's name if no engine could read it", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [unknown, string]> = [
        [[{ role: "user", content: [{ type: "input_file", file_id: "f" }] }], "input.0.content.0.type"],
        [[{ role: "user", content: [{ type: "input_image", file_id: "f" }] }], "input.0.content.0.image_url"],
        [[{ type: "item_reference", id: "msg_1" }], "input.0.type"],
        [[], "input"],
        ["", "input"]
      ]
      for (const [input, param] of cases) {
        const { status, text } = yield* respond({ input })
        assert.deepStrictEqual([status, JSON.parse(text).error.param], [400, param])
      }
    })
  )

  it.live("is answered with the reasoning as an item of its own, streamed and complete", () =>
    Effect.gen(function* () {
      const events = [chunk({ reasoning_content: "h" }), chunk({ reasoning_content: "m" }), ...said]
      const { output } = JSON.parse((yield* respond({ input: "Hi" }, events)).text)
      assert.deepStrictEqual(
        output.map(({ content, type }: { readonly type: string; readonly content: unknown }) => [
          type,
          content
        ]),
        [
          ["reasoning", [{ type: "reasoning_text", text: "hm" }]],
          ["message", [{ type: "output_text", text: "Hi", annotations: [], logprobs: [] }]]
        ]
      )
      const { text } = yield* respond({ input: "Hi", stream: true }, events)
      const names = text
        .split("\n")
        .filter((line) => line.startsWith("event: response."))
        .map((line) => line.slice("event: response.".length))
      assert.deepStrictEqual(names, [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed"
      ])
    })
  )
})
