import { assert, describe, it } from "@effect/vitest"
import type { Endpoint } from "../../../src/gateway/endpoint/Endpoint.ts"
import {
  chatEndpoint,
  embedEndpoint,
  generateEndpoint,
  oldEmbeddingsEndpoint
} from "../../../src/gateway/ollama/endpoints.ts"
import {
  aboutAfter,
  clientOf,
  counted,
  exchangeOf,
  linesOf,
  piece,
  written
} from "../../support/endpointAnswers.ts"

const messages = [{ role: "user", content: "Hi" }]
const chat = (more: object = {}) => exchangeOf(chatEndpoint, { model: "tiny", messages, ...more })
const generate = (more: object = {}) => exchangeOf(generateEndpoint, { model: "tiny", prompt: "Hi", ...more })

const said = [
  piece({ role: "assistant", content: "" }),
  piece({ content: "Hé" }),
  piece({ content: "llo" }),
  piece({}, "stop"),
  counted()
]
const call = (index: number, fields: object) => piece({ tool_calls: [{ index, ...fields }] })
const called = [
  piece({ reasoning_content: "Sum?" }),
  call(0, { id: "a", function: { name: "add", arguments: "" } }),
  call(0, { function: { arguments: '{"x":' } }),
  call(1, { id: "b", function: { name: "now", arguments: "{}" } }),
  call(0, { function: { arguments: "1}" } }),
  piece({}, "tool_calls"),
  counted()
]

const ms = 1_000_000

describe("a chat", () => {
  it("is a line for each piece, and a last one with what it took", () => {
    assert.deepStrictEqual(linesOf(written(chat(), said, { queueMs: 50, loadMs: 30 })), [
      {
        model: "tiny",
        created_at: "2026-03-04T05:06:07.200Z",
        message: { role: "assistant", content: "Hé" },
        done: false
      },
      {
        model: "tiny",
        created_at: "2026-03-04T05:06:07.300Z",
        message: { role: "assistant", content: "llo" },
        done: false
      },
      {
        model: "tiny",
        created_at: "2026-03-04T05:06:07.500Z",
        message: { role: "assistant", content: "" },
        done: true,
        done_reason: "stop",
        total_duration: 500 * ms,
        load_duration: 30 * ms,
        prompt_eval_count: 7,
        prompt_eval_duration: 150 * ms,
        eval_count: 2,
        eval_duration: 300 * ms
      }
    ])
  })

  it("is one object when it is wanted whole", () => {
    assert.deepStrictEqual(JSON.parse(written(chat({ stream: false }), said, { queueMs: 50, loadMs: 30 })), {
      model: "tiny",
      created_at: "2026-03-04T05:06:07.500Z",
      message: { role: "assistant", content: "Héllo" },
      done: true,
      done_reason: "stop",
      total_duration: 500 * ms,
      load_duration: 30 * ms,
      prompt_eval_count: 7,
      prompt_eval_duration: 0,
      eval_count: 2,
      eval_duration: 450 * ms
    })
  })

  it("tells the engine's own times where it measured them", () => {
    const chunks = [...said.slice(0, -1), counted({ queued_ms: 3, prompt_ms: 12.5, predicted_ms: 40.25 })]
    for (const stream of [true, false]) {
      assert.deepInclude(linesOf(written(chat({ stream }), chunks)).at(-1), {
        prompt_eval_duration: 12.5 * ms,
        eval_duration: 40.25 * ms,
        load_duration: 0
      })
    }
  })

  it("says that it was cut off at its limit", () => {
    const chunks = [piece({ content: "He" }), piece({}, "length"), counted()]
    for (const stream of [true, false]) {
      assert.deepInclude(linesOf(written(chat({ stream }), chunks)).at(-1), { done_reason: "length" })
    }
  })

  it("has the calls of tools whole in one message, and thoughts apart", () => {
    const tool_calls = [
      { function: { name: "add", arguments: { x: 1 } } },
      { function: { name: "now", arguments: {} } }
    ]
    const [thought, calls, last, ...more] = linesOf(written(chat(), called))
    assert.deepInclude(thought, {
      message: { role: "assistant", content: "", thinking: "Sum?" },
      done: false
    })
    assert.deepInclude(calls, { message: { role: "assistant", content: "", tool_calls }, done: false })
    assert.deepInclude(last, { message: { role: "assistant", content: "" }, done: true, done_reason: "stop" })
    assert.isEmpty(more)
    assert.deepInclude(JSON.parse(written(chat({ stream: false }), called)), {
      message: { role: "assistant", content: "", thinking: "Sum?", tool_calls },
      done_reason: "stop"
    })
  })

  it("counts from the first piece of a call, where there is no text", () => {
    assert.deepInclude(linesOf(written(chat(), called.slice(1))).at(-1), {
      prompt_eval_duration: 100 * ms,
      eval_duration: 500 * ms
    })
  })

  it("ends with a line of the error that broke it off", () => {
    const { reply } = chat()
    const writer = reply._tag === "Stream" ? reply.writer(aboutAfter(() => 0)) : undefined
    assert.strictEqual(
      writer?.failed({ status: 502, code: "AnswerLost", message: 'The "answer" broke off' }),
      '{"error":"The \\"answer\\" broke off"}\n'
    )
  })

  it("passes over what is no chunk", () => {
    assert.strictEqual(linesOf(written(chat(), ["[DONE]", "null", ...said])).length, 3)
  })
})

describe("a generation", () => {
  it("has its text as the response", () => {
    const chunks = [piece({ reasoning: "Hm" }), ...said]
    assert.deepStrictEqual(
      linesOf(written(generate(), chunks)).map((line) =>
        typeof line === "object" && line !== null && "response" in line
          ? [line.response, "thinking" in line ? line.thinking : undefined]
          : line
      ),
      [
        ["", "Hm"],
        ["Hé", undefined],
        ["llo", undefined],
        ["", undefined]
      ]
    )
    assert.deepInclude(JSON.parse(written(generate({ stream: false }), chunks)), {
      response: "Héllo",
      thinking: "Hm",
      done: true,
      done_reason: "stop"
    })
  })

  it("reads the words of raw completions", () => {
    const chunk = JSON.stringify({ choices: [{ index: 0, text: "so", finish_reason: "length" }] })
    assert.deepInclude(linesOf(written(generate({ raw: true }), [chunk]))[0], { response: "so" })
  })
})

describe("a request that only loads", () => {
  it("is told so, without a text", () => {
    for (const stream of [true, false]) {
      assert.deepStrictEqual(JSON.parse(written(exchangeOf(chatEndpoint, { model: "tiny", stream }), said)), {
        model: "tiny",
        created_at: "2026-03-04T05:06:07.500Z",
        message: { role: "assistant", content: "" },
        done: true,
        done_reason: "load"
      })
    }
    assert.deepInclude(JSON.parse(written(exchangeOf(generateEndpoint, { model: "tiny" }), said)), {
      response: "",
      done_reason: "load"
    })
    assert.strictEqual(
      written(exchangeOf(embedEndpoint, { model: "tiny", input: [] }), ["{}"]),
      '{"model":"tiny","embeddings":[]}'
    )
    assert.strictEqual(
      written(exchangeOf(oldEmbeddingsEndpoint, { model: "tiny" }), ["{}"]),
      '{"embedding":[]}'
    )
  })
})

const vectors = JSON.stringify({
  object: "list",
  data: [
    { index: 0, embedding: [0.5, -1] },
    { index: 1, embedding: [2, 0.25] }
  ],
  usage: { prompt_tokens: 4, total_tokens: 4 }
})

describe("embeddings", () => {
  it("come as lists, in order", () => {
    const embed = exchangeOf(embedEndpoint, { model: "tiny", input: ["one", "two"] })
    assert.deepStrictEqual(JSON.parse(written(embed, [vectors], { loadMs: 30 })), {
      model: "tiny",
      embeddings: [
        [0.5, -1],
        [2, 0.25]
      ],
      total_duration: 100 * ms,
      load_duration: 30 * ms,
      prompt_eval_count: 4
    })
  })

  it("come alone by the older path", () => {
    const old = exchangeOf(oldEmbeddingsEndpoint, { model: "tiny", prompt: "one" })
    assert.deepStrictEqual(JSON.parse(written(old, [vectors])), { embedding: [0.5, -1] })
  })
})

describe("the official client", () => {
  const at = (endpoint: Endpoint, chunks: ReadonlyArray<string>) =>
    clientOf((path, body) => {
      assert.strictEqual(path, endpoint.path)
      return written(exchangeOf(endpoint, body), chunks)
    })

  it("reads chats, streamed and whole", async () => {
    const client = at(chatEndpoint, called)
    const whole = await client.chat({ model: "tiny", messages })
    assert.deepStrictEqual(whole.message.tool_calls?.[0]?.function, { name: "add", arguments: { x: 1 } })
    assert.deepStrictEqual([whole.done, whole.eval_count, whole.prompt_eval_count], [true, 2, 7])
    const parts = []
    for await (const part of await client.chat({ model: "tiny", messages, stream: true })) parts.push(part)
    assert.strictEqual(parts[0]?.message.thinking, "Sum?")
    assert.deepStrictEqual(parts[1]?.message.tool_calls, whole.message.tool_calls)
    assert.deepStrictEqual([parts.length, parts.at(-1)?.done_reason], [3, "stop"])
  })

  it("goes on with the calls that it was told of", async () => {
    const client = at(chatEndpoint, called)
    const { message } = await client.chat({ model: "tiny", messages })
    const told = { role: "tool", content: "42", tool_name: "now" }
    const { body } = exchangeOf(chatEndpoint, { model: "tiny", messages: [...messages, message, told] })
    assert.deepStrictEqual(Array.isArray(body["messages"]) ? body["messages"].at(-1) : undefined, {
      role: "tool",
      content: "42",
      tool_call_id: "call_1_1"
    })
  })

  it("reads generations, and loads a model", async () => {
    const client = at(generateEndpoint, said)
    assert.strictEqual((await client.generate({ model: "tiny", prompt: "Hi" })).response, "Héllo")
    let text = ""
    for await (const part of await client.generate({ model: "tiny", prompt: "Hi", stream: true })) {
      text += part.response
    }
    assert.strictEqual(text, "Héllo")
    const { done_reason } = await client.generate({ model: "tiny", prompt: "" })
    assert.strictEqual(done_reason, "load")
    const loading = []
    for await (const part of await client.generate({ model: "tiny", prompt: "", stream: true })) {
      loading.push(part.done_reason)
    }
    assert.deepStrictEqual(loading, ["load"])
  })

  it("reads embeddings", async () => {
    const { embeddings } = await at(embedEndpoint, [vectors]).embed({ model: "tiny", input: ["one", "two"] })
    assert.deepStrictEqual(embeddings, [
      [0.5, -1],
      [2, 0.25]
    ])
    const { embedding } = await at(oldEmbeddingsEndpoint, [vectors]).embeddings({
      model: "tiny",
      prompt: "one"
    })
    assert.deepStrictEqual(embedding, [0.5, -1])
  })

  it("throws the error of a stream that broke off", async () => {
    const client = clientOf(() => {
      const { reply } = chat()
      if (reply._tag !== "Stream") throw new Error("it is not streamed")
      const writer = reply.writer(aboutAfter(() => 0))
      const broken = writer.failed({ status: 502, code: "AnswerLost", message: "The answer broke off" })
      return writer.chunk(piece({ content: "He" })) + broken
    })
    const seen: Array<string> = []
    try {
      for await (const part of await client.chat({ model: "tiny", messages, stream: true })) {
        seen.push(part.message.content)
      }
    } catch (error) {
      seen.push(error instanceof Error ? error.message : "?")
    }
    assert.deepStrictEqual(seen, ["He", "The answer broke off"])
  })
})
