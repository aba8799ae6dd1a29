import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { GatewayRequest } from "../../../src/gateway/upstream/Upstream.ts"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { streamWork, type Submission } from "../../../src/job/Submission.ts"
import { hiveCommand } from "../../../src/operation/Routing.ts"
import { ask } from "../../support/daemon.ts"
import { type GatewayUnderTest, startGateway } from "../../support/gateway.ts"
import type { StreamWork } from "../../support/jobs.ts"

const piece = (delta: object, finish_reason: string | null = null) =>
  new JobEvent("chunk", JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] }))
const usage = new JobEvent(
  "chunk",
  JSON.stringify({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 2 } })
)
const call = (fields: object) => piece({ tool_calls: [{ index: 0, ...fields }] })

const said = [piece({ role: "assistant", content: "" }), piece({ content: "Hel" }), piece({ content: "lo" })]
const whole = (finish: string) => [...said, piece({}, finish), usage]
const called = [
  call({ id: "call_1", function: { name: "add", arguments: "" } }),
  call({ function: { arguments: '{"x":' } }),
  call({ function: { arguments: "1}" } }),
  piece({}, "tool_calls"),
  usage
]

const lost = { _tag: "AnswerLost", message: "The answer broke off" }

interface Sent {
  readonly path: string
  readonly body: unknown
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Sends a request to a gateway whose engine writes these events; gives the answer and what the engine was asked. */
const sending = (
  { body, headers = {}, method = "POST", path }: Sent,
  events: ReadonlyArray<JobEvent>,
  failure?: typeof lost,
  options: GatewayUnderTest = {}
) =>
  Effect.gen(function* () {
    const asked: Array<GatewayRequest> = []
    const work: StreamWork = () =>
      Stream.concat(Stream.fromIterable(events), failure === undefined ? Stream.empty : Stream.fail(failure))
    const { url } = yield* startGateway({
      complete: (request) => {
        asked.push(request)
        return work
      },
      ...options
    })
    const answer = yield* ask(url, {
      method,
      path,
      headers,
      body: body === undefined ? "" : JSON.stringify(body)
    })
    return { ...answer, asked: asked[0]?.body ?? {} }
  })

const eventsOf = (text: string) =>
  text
    .split("\n\n")
    .filter((frame) => frame.startsWith("event: "))
    .map((frame) => {
      const [name = "", data = ""] = frame.split("\n")
      return { name: name.slice("event: ".length), data: JSON.parse(data.slice("data: ".length)) }
    })

const linesOf = (text: string) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))

const messages = [{ role: "user", content: "Hi" }]

describe("Anthropic's endpoint", () => {
  const send = (body: object, events: ReadonlyArray<JobEvent> = whole("stop"), failure?: typeof lost) =>
    sending(
      { path: "/v1/messages", body: { model: "tiny", max_tokens: 9, messages, ...body } },
      events,
      failure
    )

  it.live("sends the request in the engine's format", () =>
    Effect.gen(function* () {
      const { asked } = yield* send({
        system: [{ type: "text", text: "Be brief" }],
        messages: [
          { role: "user", content: [{ type: "text", text: "Add" }] },
          {
            role: "assistant",
            content: [
              { type: "thinking", thinking: "hm", signature: "" },
              { type: "text", text: "So" },
              { type: "tool_use", id: "t1", name: "add", input: { x: 1 } }
            ]
          },
          {
            role: "user",
            content: [
              { type: "tool_result", tool_use_id: "t1", content: [{ type: "text", text: "2" }] },
              { type: "text", text: "And?" }
            ]
          }
        ],
        stop_sequences: ["END"],
        temperature: 0.5,
        top_p: 0.9,
        top_k: 40,
        tools: [{ name: "add", description: "Adds", input_schema: { type: "object" } }],
        tool_choice: { type: "any", disable_parallel_tool_use: true },
        metadata: { user_id: "u" }
      })
      assert.deepStrictEqual(asked, {
        messages: [
          { role: "system", content: "Be brief" },
          { role: "user", content: "Add" },
          {
            role: "assistant",
            content: "So",
            reasoning_content: "hm",
            tool_calls: [{ id: "t1", type: "function", function: { name: "add", arguments: '{"x":1}' } }]
          },
          { role: "tool", tool_call_id: "t1", content: "2" },
          { role: "user", content: "And?" }
        ],
        tools: [
          { type: "function", function: { name: "add", description: "Adds", parameters: { type: "object" } } }
        ],
        tool_choice: "required",
        parallel_tool_calls: false,
        max_tokens: 9,
        stop: ["END"],
        temperature: 0.5,
        top_k: 40,
        top_p: 0.9
      })
    })
  )

  it.live("continues an answer that the client has begun", () =>
    Effect.gen(function* () {
      const begun = [...messages, { role: "assistant", content: "Dear" }]
      const { asked } = yield* send({ messages: begun })
      assert.deepInclude(asked, { messages: begun, continue_final_message: true })
    })
  )

  it.live("writes the events of a message, with the engine's stop reason", () =>
    Effect.gen(function* () {
      const { headers, text } = yield* send({ stream: true }, whole("length"))
      assert.match(headers["content-type"] ?? "", /^text\/event-stream/)
      const events = eventsOf(text)
      assert.deepStrictEqual(
        events.map(({ name }) => name),
        [
          "message_start",
          "content_block_start",
          "content_block_delta",
          "content_block_delta",
          "content_block_stop",
          "message_delta",
          "message_stop"
        ]
      )
      for (const { data, name } of events) assert.strictEqual(data.type, name)
      assert.deepStrictEqual(events[5]?.data, {
        type: "message_delta",
        delta: { stop_reason: "max_tokens", stop_sequence: null },
        usage: {
          input_tokens: 7,
          output_tokens: 2,
          cache_creation_input_tokens: 0,
          cache_read_input_tokens: 0
        }
      })
    })
  )

  it.live("returns a tool call complete and in pieces", () =>
    Effect.gen(function* () {
      const { text } = yield* send({}, called)
      const { content, stop_reason } = JSON.parse(text)
      assert.deepStrictEqual(content, [{ type: "tool_use", id: "call_1", name: "add", input: { x: 1 } }])
      assert.strictEqual(stop_reason, "tool_use")
      const streamed = eventsOf((yield* send({ stream: true }, called)).text)
      assert.deepStrictEqual(
        streamed.flatMap(({ data }) =>
          data.type === "content_block_delta" ? [data.delta.partial_json] : []
        ),
        ['{"x":', "1}"]
      )
    })
  )

  it.live("ends an interrupted stream with its error", () =>
    Effect.gen(function* () {
      const { text } = yield* send({ stream: true }, said, lost)
      assert.deepStrictEqual(eventsOf(text).at(-1), {
        name: "error",
        data: { type: "error", error: { type: "api_error", message: lost.message } }
      })
    })
  )

  it.live("rejects what it cannot forward, with the field's name", () =>
    Effect.gen(function* () {
      const file = { type: "image", source: { type: "file", file_id: "f" } }
      const pdf = {
        type: "document",
        source: { type: "base64", media_type: "application/pdf", data: "JVBE" }
      }
      const result = { type: "tool_result", tool_use_id: "t", content: [pdf] }
      const user = (block: object) => ({ messages: [{ role: "user", content: [block] }] })
      const cases: ReadonlyArray<readonly [object, string]> = [
        [user(file), "messages.0.content.0.source"],
        [user(pdf), "messages.0.content.0.source"],
        [user(result), "messages.0.content.0.content.0.source"],
        [user({ type: "container_upload", file_id: "f" }), "messages.0.content.0.type"],
        [user({ type: "tool_result", tool_use_id: "t", content: 5 }), "messages.0.content.0.content"],
        [{ tool_choice: { type: "any" } }, "tool_choice"],
        [
          {
            tools: [{ type: "web_search_20250305", name: "web_search" }],
            tool_choice: { type: "tool", name: "web_search" }
          },
          "tool_choice"
        ],
        [{ max_tokens: 0 }, "max_tokens"],
        [{ messages: [] }, "messages"],
        [{ messages: [{ role: "developer", content: "x" }] }, "messages.0.role"]
      ]
      for (const [body, field] of cases) {
        const { status, text } = yield* send(body)
        const { error, type } = JSON.parse(text)
        assert.deepStrictEqual([status, type, error.type], [400, "error", "invalid_request_error"])
        assert.include(error.message, `'${field}'`)
      }
    })
  )
})

describe("OpenAI's responses endpoint", () => {
  const send = (body: object, events: ReadonlyArray<JobEvent>, failure?: typeof lost) =>
    sending({ path: "/v1/responses", body: { model: "tiny", input: "Hi", ...body } }, events, failure)

  it.live("numbers its events, and ends with the engine's finish reason", () =>
    Effect.gen(function* () {
      const events = eventsOf((yield* send({ stream: true }, whole("length"))).text)
      assert.deepStrictEqual(
        events.map(({ data }) => data.sequence_number),
        events.map((_, index) => index)
      )
      assert.deepStrictEqual(
        events.map(({ name }) => name.slice("response.".length)),
        [
          "created",
          "in_progress",
          "output_item.added",
          "content_part.added",
          "output_text.delta",
          "output_text.delta",
          "output_text.done",
          "content_part.done",
          "output_item.done",
          "incomplete"
        ]
      )
      const { response } = events.at(-1)?.data ?? {}
      assert.deepStrictEqual(response.incomplete_details, { reason: "max_output_tokens" })
      assert.strictEqual(response.output[0].content[0].text, "Hello")
      assert.strictEqual(response.usage.total_tokens, 9)
    })
  )

  it.live("reports a failure in its own format", () =>
    Effect.gen(function* () {
      const last = eventsOf((yield* send({ stream: true }, said, lost)).text).at(-1)
      assert.strictEqual(last?.name, "response.failed")
      assert.deepStrictEqual(last?.data.response.error, { code: "AnswerLost", message: lost.message })
    })
  )

  it.live("sends the request in the engine's format", () =>
    Effect.gen(function* () {
      const { asked } = yield* send(
        {
          instructions: "Be brief",
          max_output_tokens: 5,
          text: { format: { type: "json_schema", name: "n", schema: { type: "object" }, strict: true } }
        },
        whole("stop")
      )
      assert.deepStrictEqual(asked, {
        messages: [
          { role: "system", content: "Be brief" },
          { role: "user", content: "Hi" }
        ],
        max_tokens: 5,
        response_format: {
          type: "json_schema",
          json_schema: { name: "n", schema: { type: "object" }, strict: true }
        }
      })
    })
  )

  it.live("rejects requests that need a stored response, and reports that a response is not stored", () =>
    Effect.gen(function* () {
      const refused = {
        background: true,
        previous_response_id: "resp_1",
        conversation: "conv_1",
        prompt: { id: "pmpt_1" },
        truncation: "middle"
      }
      for (const [field, value] of Object.entries(refused)) {
        const { status, text } = yield* send({ [field]: value }, [])
        assert.deepStrictEqual([status, JSON.parse(text).error.param], [400, field])
      }
      const nothing = Object.fromEntries(Object.keys(refused).map((field) => [field, null]))
      const { status, text } = yield* send({ ...nothing, store: true, truncation: "auto" }, whole("stop"))
      assert.strictEqual(status, 200, text)
      const { store, truncation } = JSON.parse(text)
      assert.deepStrictEqual([store, truncation], [false, "disabled"])
    })
  )
})

describe("Ollama's endpoint", () => {
  const chat = (body: object, events: ReadonlyArray<JobEvent> = whole("stop"), failure?: typeof lost) =>
    sending({ path: "/api/chat", body: { model: "tiny", messages, ...body } }, events, failure)

  it.live("sends the request in the engine's format", () =>
    Effect.gen(function* () {
      const { asked } = yield* chat({
        options: { num_predict: 5, temperature: 0, seed: 3, stop: ["END"], num_ctx: 2048 },
        format: "json",
        messages: [
          ...messages,
          {
            role: "assistant",
            content: "",
            tool_calls: [{ function: { name: "add", arguments: { x: 1 } } }]
          },
          { role: "tool", content: "2" }
        ]
      })
      assert.deepStrictEqual(asked, {
        max_tokens: 5,
        temperature: 0,
        seed: 3,
        stop: ["END"],
        // Ollama's defaults, where the request has none.
        top_k: 40,
        top_p: 0.9,
        repeat_penalty: 1.1,
        repetition_penalty: 1.1,
        response_format: { type: "json_object" },
        messages: [
          ...messages,
          {
            role: "assistant",
            content: null,
            tool_calls: [
              { id: "call_1_0", type: "function", function: { name: "add", arguments: '{"x":1}' } }
            ]
          },
          { role: "tool", content: "2", tool_call_id: "call_1_0" }
        ]
      })
    })
  )

  it.live("writes a line for each piece, and durations and counts in the last line", () =>
    Effect.gen(function* () {
      const { headers, text } = yield* chat({}, whole("length"))
      assert.match(headers["content-type"] ?? "", /^application\/x-ndjson/)
      const lines = linesOf(text)
      assert.deepStrictEqual(
        lines.map(({ done, message }) => [message.content, done]),
        [
          ["Hel", false],
          ["lo", false],
          ["", true]
        ]
      )
      assert.deepInclude(lines.at(-1), { done_reason: "length", prompt_eval_count: 7, eval_count: 2 })
      assert.deepStrictEqual(linesOf((yield* chat({}, called)).text)[0].message.tool_calls, [
        { function: { name: "add", arguments: { x: 1 } } }
      ])
    })
  )

  it.live("ends an interrupted stream with its error", () =>
    Effect.gen(function* () {
      const { text } = yield* chat({}, said, lost)
      assert.deepStrictEqual(linesOf(text).at(-1), { error: lost.message })
    })
  )

  it.live("loads a model for a request without a prompt", () =>
    Effect.gen(function* () {
      const { asked, text } = yield* sending({ path: "/api/generate", body: { model: "tiny" } }, said)
      assert.deepStrictEqual(asked, { prompt: ".", max_tokens: 1 })
      assert.deepInclude(JSON.parse(text), { response: "", done: true, done_reason: "load" })
      const unload = yield* sending({ path: "/api/generate", body: { model: "tiny", keep_alive: 0 } }, said)
      assert.strictEqual(unload.status, 200)
      assert.deepInclude(JSON.parse(unload.text), { response: "", done: true, done_reason: "unload" })
    })
  )

  it.live("pulls with the hive's download, and reports it in Ollama's format", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const route = (body: string): Submission => {
        asked.push(JSON.parse(body).model)
        const work: StreamWork = () =>
          Stream.make(JobEvent.progress({ stage: "small", current: 5, total: 10, unit: "bytes" }))
        return { operation: "model_download", routing: hiveCommand, router: "test", work: streamWork(work) }
      }
      const names = ["small:1b", "hf.co/org/repo:Q4", "hf:org/repo", "ollama:x"]
      for (const model of names) {
        const { headers, text } = yield* sending({ path: "/api/pull", body: { model } }, [], undefined, {
          route
        })
        assert.match(String(headers["x-rbee-job-id"]), /^job-/)
        assert.deepStrictEqual(linesOf(text).slice(-2), [
          { status: `pulling ${model}`, digest: headers["x-rbee-job-id"], total: 10, completed: 5 },
          { status: "success" }
        ])
      }
      assert.deepStrictEqual(asked, ["ollama:small:1b", "hf:org/repo:Q4", "hf:org/repo", "ollama:x"])
      const file = yield* sending({ path: "/api/pull", body: { model: "file:/etc/passwd" } }, [], undefined, {
        route
      })
      assert.strictEqual(file.status, 400)
      assert.lengthOf(asked, names.length)
    })
  )

  it.live("refuses changes to a machine's models with an API key", () =>
    Effect.gen(function* () {
      const key = `rbee-${"a".repeat(43)}`
      const keys = [{ key, name: "app" }]
      const headers = { authorization: `Bearer ${key}` }
      for (const [method, path] of [
        ["POST", "/api/pull"],
        ["DELETE", "/api/delete"]
      ] as const) {
        const { status, text } = yield* sending(
          { method, path, headers, body: { model: "rbee:tiny" } },
          [],
          undefined,
          { keys }
        )
        assert.strictEqual(status, 403, path)
        assert.include(JSON.parse(text).error, "API key 'app'")
      }
    })
  )

  it.live("reports a missing key in its own format", () =>
    Effect.gen(function* () {
      const keys = [{ key: `rbee-${"a".repeat(43)}`, name: "app" }]
      const ollama = yield* sending({ method: "GET", path: "/api/tags", body: undefined }, [], undefined, {
        keys
      })
      assert.strictEqual(ollama.status, 401)
      assert.isString(JSON.parse(ollama.text).error)
      const anthropic = yield* sending({ path: "/v1/messages", body: {} }, [], undefined, { keys })
      assert.deepStrictEqual(
        [anthropic.status, JSON.parse(anthropic.text).error.type],
        [401, "authentication_error"]
      )
    })
  )
})
