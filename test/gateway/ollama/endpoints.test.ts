import { assert, describe, it } from "@effect/vitest"
import {
  chatEndpoint,
  embedEndpoint,
  generateEndpoint,
  oldEmbeddingsEndpoint
} from "../../../src/gateway/ollama/endpoints.ts"
import { exchangeOf, refusalOf } from "../../support/endpointAnswers.ts"

const messages = [{ role: "user", content: "Hi" }]
const chat = (more: object) => exchangeOf(chatEndpoint, { model: "tiny", messages, ...more })
const bodyOf = (more: object) => chat(more).body
const optionsOf = (options: object) => {
  const { messages: _messages, ...rest } = bodyOf({ options })
  return rest
}

const calling = (name: string, given: object, id?: string) => ({
  ...(id === undefined ? {} : { id }),
  function: { name, arguments: given }
})
const toolIds = (turns: ReadonlyArray<object>) => {
  const { messages: told } = bodyOf({ messages: [...messages, ...turns] })
  return Array.isArray(told) ? told.map(({ tool_call_id }) => tool_call_id).filter(Boolean) : []
}

describe("the options of Ollama", () => {
  it("have the engines' names", () => {
    assert.deepStrictEqual(
      optionsOf({
        temperature: 0.5,
        top_p: 0.9,
        top_k: 20,
        min_p: 0.1,
        seed: 7,
        num_predict: 12,
        stop: ["END"],
        presence_penalty: 0.2,
        frequency_penalty: 0.3,
        repeat_penalty: 1.1
      }),
      {
        temperature: 0.5,
        top_p: 0.9,
        top_k: 20,
        min_p: 0.1,
        seed: 7,
        max_tokens: 12,
        stop: ["END"],
        presence_penalty: 0.2,
        frequency_penalty: 0.3,
        repeat_penalty: 1.1,
        repetition_penalty: 1.1
      }
    )
  })

  it("are those of Ollama where the request has none, and none of them is in the request itself", () => {
    const defaults = { temperature: 0.8, top_k: 40, top_p: 0.9, repeat_penalty: 1.1, repetition_penalty: 1.1 }
    assert.deepStrictEqual(chat({}).defaults, defaults)
    assert.deepStrictEqual(chat({ options: { temperature: 0 } }).defaults, defaults)
    for (const raw of [true, false]) {
      assert.deepStrictEqual(
        exchangeOf(generateEndpoint, { model: "tiny", prompt: "Hi", raw }).defaults,
        defaults
      )
    }
  })

  it("ask for a context", () => {
    for (const [num_ctx, contextSize] of [
      [8192, 8192],
      [0, undefined],
      [-1, undefined],
      [null, undefined]
    ] as const) {
      assert.strictEqual(chat({ options: { num_ctx } }).contextSize, contextSize)
    }
  })

  it("limit nothing, and choose no seed, by a number that says so", () => {
    for (const num_predict of [-2, -1, 0]) assert.deepStrictEqual(optionsOf({ num_predict }), {})
    assert.deepStrictEqual(optionsOf({ seed: -1 }), {})
    assert.deepStrictEqual(optionsOf({ seed: 0, top_k: 0 }), { seed: 0, top_k: 0 })
    assert.deepStrictEqual(optionsOf({ top_k: -1 }), { top_k: 0 })
  })

  it("are passed over when they say nothing, or are of a worker's load", () => {
    assert.deepStrictEqual(
      optionsOf({ num_ctx: 8192, num_gpu: 99, numa: true, temperature: null, stop: [""] }),
      {}
    )
    assert.deepStrictEqual(optionsOf({ mirostat: 1, repeat_last_n: 64, seed: 2 ** 60 }), {
      mirostat: 1,
      repeat_last_n: 64,
      seed: 2 ** 60
    })
    assert.deepStrictEqual(bodyOf({ options: null, format: null, tools: null, think: null }), { messages })
    assert.deepStrictEqual(bodyOf({ format: "", tools: [], think: "", keep_alive: "5m" }), { messages })
  })

  it("tell the template whether to think, and how much", () => {
    assert.deepStrictEqual(bodyOf({ think: false }), {
      messages,
      chat_template_kwargs: { enable_thinking: false }
    })
    assert.deepStrictEqual(bodyOf({ think: true })["chat_template_kwargs"], { enable_thinking: true })
    assert.deepStrictEqual(bodyOf({ think: "high" }), {
      messages,
      reasoning_effort: "high",
      chat_template_kwargs: { enable_thinking: true, reasoning_effort: "high" }
    })
    assert.strictEqual(refusalOf(chatEndpoint, { model: "tiny", messages, think: "much" }).param, "think")
  })

  it("are refused by the name of the one that is wrong", () => {
    assert.strictEqual(
      refusalOf(chatEndpoint, { model: "tiny", messages, options: { temperature: "hot" } }).param,
      "options.temperature"
    )
    assert.strictEqual(
      refusalOf(chatEndpoint, { model: "tiny", messages, options: { num_predict: 1.5 } }).param,
      "options.num_predict"
    )
  })
})

describe("/api/chat", () => {
  it("is streamed as lines unless the client wants it whole", () => {
    assert.strictEqual(chat({}).reply._tag, "Stream")
    assert.strictEqual(chat({ stream: true }).reply._tag, "Stream")
    assert.strictEqual(chat({ stream: null }).reply._tag, "Stream")
    assert.strictEqual(chat({ stream: false }).reply._tag, "Complete")
    const { api, model, reply } = chat({})
    assert.deepStrictEqual([api, model], ["chat/completions", "tiny"])
    assert.strictEqual(reply._tag === "Stream" ? reply.contentType : "", "application/x-ndjson")
  })

  it("wants JSON, or what fits a schema", () => {
    assert.deepStrictEqual(bodyOf({ format: "json" })["response_format"], { type: "json_object" })
    const schema = { type: "object", properties: { name: { type: "string" } } }
    assert.deepStrictEqual(bodyOf({ format: schema })["response_format"], {
      type: "json_schema",
      json_schema: { name: "answer", schema, strict: true }
    })
    assert.deepStrictEqual(refusalOf(chatEndpoint, { model: "tiny", messages, format: "xml" }), {
      param: "format",
      reason: `'format': Expected "json", or the JSON schema of the answer`
    })
  })

  it("gives the tools with an object of parameters", () => {
    const parameters = { type: "object", properties: { x: { type: "number" } } }
    const tools = [
      { type: "function", function: { name: "add", description: "Adds", parameters } },
      { type: "function", function: { name: "now" } }
    ]
    assert.deepStrictEqual(bodyOf({ tools })["tools"], [
      { type: "function", function: { name: "add", description: "Adds", parameters } },
      { type: "function", function: { name: "now", parameters: { type: "object", properties: {} } } }
    ])
  })

  it("writes what was called as JSON text, with an id", () => {
    const turn = { role: "assistant", content: "", tool_calls: [calling("add", { x: 1, y: [2] })] }
    const { messages: told } = bodyOf({ messages: [...messages, turn, { role: "tool", content: "3" }] })
    assert.deepStrictEqual(told, [
      ...messages,
      {
        role: "assistant",
        content: null,
        tool_calls: [
          { id: "call_1_0", type: "function", function: { name: "add", arguments: '{"x":1,"y":[2]}' } }
        ]
      },
      { role: "tool", content: "3", tool_call_id: "call_1_0" }
    ])
  })

  it("finds the call that a tool answers by its id, its name, or its place", () => {
    const turn = {
      role: "assistant",
      tool_calls: [calling("add", {}), calling("now", {}), calling("add", {}, "mine")]
    }
    const tool = (more: object) => ({ role: "tool", content: "3", ...more })
    assert.deepStrictEqual(toolIds([turn, tool({}), tool({}), tool({})]), ["call_1_0", "call_1_1", "mine"])
    assert.deepStrictEqual(
      toolIds([turn, tool({ tool_name: "now" }), tool({ tool_name: "add" }), tool({ tool_name: "add" })]),
      ["call_1_1", "call_1_0", "mine"]
    )
    assert.deepStrictEqual(toolIds([turn, tool({ tool_call_id: "mine" }), tool({ tool_name: "add" })]), [
      "mine",
      "call_1_0"
    ])
    assert.deepStrictEqual(toolIds([tool({ tool_call_id: "lost" })]), ["lost"])
  })

  it("refuses images, and says where one is", () => {
    const withImage = [...messages, { role: "user", content: "And this?", images: ["aGk="] }]
    assert.deepStrictEqual(refusalOf(chatEndpoint, { model: "tiny", messages: withImage }), {
      param: "messages.1.images",
      reason: "'messages.1.images': engines behind this endpoint do not support images; remove them"
    })
    assert.deepStrictEqual(bodyOf({ messages: [{ ...messages[0], images: [] }] }), { messages })
  })

  it("is refused by the name of the field that is wrong", () => {
    const wrong = (body: object) => refusalOf(chatEndpoint, { model: "tiny", messages, ...body }).param
    assert.strictEqual(wrong({ model: undefined }), "model")
    assert.strictEqual(wrong({ model: "" }), "model")
    assert.strictEqual(wrong({ messages: [{ role: "wizard", content: "Hi" }] }), "messages.0.role")
    assert.strictEqual(wrong({ messages: [{ role: "user", content: 5 }] }), "messages.0.content")
    assert.strictEqual(wrong({ stream: "yes" }), "stream")
    assert.strictEqual(wrong({ tools: [{ type: "function", function: {} }] }), "tools.0.function.name")
  })
})

describe("/api/generate", () => {
  const generate = (more: object) => exchangeOf(generateEndpoint, { model: "tiny", prompt: "Hi", ...more })

  it("asks by the model's chat template", () => {
    const { api, body } = generate({ system: "Be kind", options: { num_predict: 3 } })
    assert.deepStrictEqual(
      [api, body],
      [
        "chat/completions",
        {
          max_tokens: 3,
          messages: [
            { role: "system", content: "Be kind" },
            { role: "user", content: "Hi" }
          ]
        }
      ]
    )
    assert.deepStrictEqual(generate({ system: "" }).body, { messages })
  })

  it("continues the prompt as it stands when it is raw", () => {
    const { api, body } = generate({ raw: true, format: "json" })
    assert.deepStrictEqual(
      [api, body],
      ["completions", { response_format: { type: "json_object" }, prompt: "Hi" }]
    )
  })

  it("refuses what no engine has here, unless it is empty", () => {
    for (const [field, value] of [
      ["suffix", "!"],
      ["template", "{{ .Prompt }}"],
      ["context", [1]],
      ["images", ["aGk="]]
    ] as const) {
      const { param, reason } = refusalOf(generateEndpoint, { model: "tiny", prompt: "Hi", [field]: value })
      assert.strictEqual(param, field)
      assert.match(reason, new RegExp(`^'${field}': .{20,}`))
    }
    assert.deepStrictEqual(generate({ suffix: "", template: "", context: [], images: null }).body, {
      messages
    })
  })
})

describe("a request without a prompt", () => {
  it("asks for the least there is, so that the model is loaded", () => {
    const least = { prompt: ".", max_tokens: 1 }
    for (const body of [{}, { messages: [] }, { messages: null, stream: true }, { keep_alive: -1 }]) {
      const { api, body: asked } = exchangeOf(chatEndpoint, { model: "tiny", ...body })
      assert.deepStrictEqual([api, asked], ["completions", least])
    }
    for (const body of [{}, { prompt: "" }, { prompt: null }, { keep_alive: "10m" }]) {
      assert.deepStrictEqual(exchangeOf(generateEndpoint, { model: "tiny", ...body }).body, least)
    }
    for (const body of [{}, { input: "" }, { input: [] }]) {
      const { api, body: asked } = exchangeOf(embedEndpoint, { model: "tiny", ...body })
      assert.deepStrictEqual([api, asked], ["embeddings", { input: ".", truncate: true }])
    }
    assert.deepStrictEqual(exchangeOf(oldEmbeddingsEndpoint, { model: "tiny" }).body, {
      input: ".",
      truncate: true
    })
    assert.deepStrictEqual(exchangeOf(oldEmbeddingsEndpoint, { model: "tiny", prompt: "" }).body, {
      input: [""],
      truncate: true
    })
  })

  it("unloads a model by a keep_alive of 0, and one with a prompt does so afterwards", () => {
    for (const keep_alive of [0, -0, "0", "0s", "0m", "0h"]) {
      for (const [endpoint, prompt] of [
        [chatEndpoint, { messages }],
        [generateEndpoint, { prompt: "Hi" }]
      ] as const) {
        assert.strictEqual(exchangeOf(endpoint, { model: "tiny", keep_alive }).unload, "instead")
        assert.strictEqual(exchangeOf(endpoint, { model: "tiny", keep_alive, ...prompt }).unload, "after")
      }
    }
    for (const keep_alive of ["5m", -1, "-1", 300, "1h30m", "24h", null, "1.5h", ""]) {
      assert.isUndefined(exchangeOf(chatEndpoint, { model: "tiny", keep_alive }).unload)
      assert.isUndefined(exchangeOf(chatEndpoint, { model: "tiny", messages, keep_alive }).unload)
    }
    for (const keep_alive of ["soon", "5 minutes", "m", true]) {
      assert.strictEqual(refusalOf(chatEndpoint, { model: "tiny", messages, keep_alive }).param, "keep_alive")
    }
  })
})

describe("embeddings", () => {
  it("are asked for one text, or several, cut to the context unless that is not wanted", () => {
    const bodyOf = (fields: object) => exchangeOf(embedEndpoint, { model: "tiny", ...fields }).body
    for (const input of ["one", ["one", "two"]]) {
      assert.deepStrictEqual(bodyOf({ input }), { input, truncate: true })
      assert.deepStrictEqual(bodyOf({ input, truncate: null }), { input, truncate: true })
      assert.deepStrictEqual(bodyOf({ input, truncate: false }), { input, truncate: false })
      assert.deepStrictEqual(bodyOf({ input, dimensions: 8 }), { input, truncate: true, dimensions: 8 })
    }
    assert.deepStrictEqual(exchangeOf(oldEmbeddingsEndpoint, { model: "tiny", prompt: "one" }).body, {
      input: "one",
      truncate: true
    })
  })

  it("are refused for what is no text", () => {
    assert.strictEqual(refusalOf(embedEndpoint, { model: "tiny", input: 5 }).param, "input")
    assert.strictEqual(refusalOf(oldEmbeddingsEndpoint, { model: "tiny", prompt: ["one"] }).param, "prompt")
  })
})
