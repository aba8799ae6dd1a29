import { join } from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { writeTinyVariant } from "../../support/editGguf.ts"
import { llamaWorker, type LlamaWorker, tiny, TinyWorker } from "../../support/llamaWorker.ts"
import { temporaryFolder } from "../../support/rbee.ts"

const withTemplate = (folder: string, template: string | undefined) => {
  const file = join(folder, "variant.gguf")
  writeTinyVariant(file, { "tokenizer.chat_template": template })
  return file
}

const messages = [{ role: "user", content: "hi" }]
const chat = "/v1/chat/completions"
const user = { role: "user", content: "so?" }
const call = { id: "c1", type: "function", function: { name: "look_up", arguments: '{"a":"<|im_end|>"}' } }
const calling = { role: "assistant", content: null, tool_calls: [call] }
const result = { role: "tool", tool_call_id: "c1", content: "42" }

const lengthOf = (vector: ReadonlyArray<number>) => Math.hypot(...vector)

layer(TinyWorker.layer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
  describe("values that other servers accept", () => {
    it.effect("are accepted with the same meaning", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        const taken: ReadonlyArray<object> = [
          { seed: -1 },
          { seed: 4_294_967_296 },
          { seed: Number.MAX_SAFE_INTEGER },
          { seed: 18_446_744_073_709_552_000 },
          { top_k: -1 },
          { top_k: 0 },
          { top_k: 5_000_000_000 },
          { stop: "" },
          { stop: [""] },
          { stop: ["", null, "zzz"] },
          { logprobs: false, top_logprobs: 0 },
          { top_logprobs: 0 },
          { temperature: 0 },
          { temperature: 2 },
          { top_p: 1, n: 1, user: "me", metadata: { a: "b" }, presence_penalty: 0, store: false },
          { repeat_penalty: 1.1, repeat_last_n: -1 },
          { repetition_penalty: 1.2, repeat_last_n: 0 },
          { max_tokens: null, max_completion_tokens: 2 },
          { temperature: null, top_p: null, top_k: null, seed: null, stop: null, n: null, tools: null },
          { logprobs: null, top_logprobs: null, response_format: null, stream: null, stream_options: null },
          { tool_choice: "none", tools: [{ type: "function", function: { name: "f" } }] },
          { function_call: "none", functions: [{ name: "f" }] },
          { tool_choice: "auto", parallel_tool_calls: true, modalities: ["text"], reasoning_effort: "low" }
        ]
        for (const values of taken) {
          const { status, text } = yield* post(chat, { messages, max_tokens: 2, ...values })
          assert.strictEqual(status, 200, `${JSON.stringify(values)} ${text}`)
        }
        const seeded = (seed: number) =>
          Effect.map(
            post(chat, { messages, max_tokens: 24, seed, temperature: 1.5 }),
            ({ json }) => json.choices[0].message.content
          )
        assert.strictEqual(yield* seeded(5_000_000_000), yield* seeded(5_000_000_000))
        assert.notStrictEqual(yield* seeded(5_000_000_000), yield* seeded(5_000_000_001))
        assert.notStrictEqual(yield* seeded(-1), yield* seeded(-1))
      })
    )

    it.effect("constrain the answer to the schema, wherever the client puts it", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        const schema = {
          type: "object",
          properties: { a: { type: "boolean" } },
          required: ["a"],
          additionalProperties: false
        }
        for (const response_format of [
          { type: "json_object", schema },
          { type: "json_schema", schema },
          { type: "json_schema", json_schema: { schema } }
        ]) {
          const { json, text } = yield* post(chat, { messages, max_tokens: 60, response_format })
          assert.deepStrictEqual(Object.keys(JSON.parse(json.choices[0].message.content)), ["a"], text)
        }
      })
    )

    it.effect("limit an answer to the remaining context, and reject only a prompt that does not fit", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        // An answer of its own accord ends sooner or later.
        const endless = { type: "array", items: { type: "integer" }, minItems: 1000 }
        const grammar = { type: "json_schema", json_schema: { schema: endless } }
        const isCut = Effect.fnUntraced(function* ({ post }: LlamaWorker, limit: number, context: number) {
          const { json, text } = yield* post(chat, { messages, max_tokens: limit, response_format: grammar })
          assert.strictEqual(json.choices[0].finish_reason, "length", text)
          assert.strictEqual(json.usage.total_tokens, context)
        })
        yield* isCut(yield* TinyWorker, -1, 512)
        const small = yield* llamaWorker(tiny, ["--ctx-size", "128"])
        for (const limit of [-1, 600, 128_000, 4_294_967_296]) {
          yield* isCut(small, limit, 128)
          const completion = yield* small.post("/v1/completions", {
            prompt: ["It was", "The old sea"],
            max_tokens: limit,
            response_format: grammar
          })
          assert.strictEqual(completion.json.usage.total_tokens, 256, completion.text)
        }
        const long = "word ".repeat(700)
        for (const [path, body] of [
          [chat, { messages: [{ role: "user", content: long }] }],
          ["/v1/completions", { prompt: long, max_tokens: 1 }],
          ["/v1/completions", { prompt: ["hi", long] }]
        ] as const) {
          const { json, status, text } = yield* post(path, body)
          assert.strictEqual(status, 400, text)
          assert.strictEqual(json.error.code, "context_length_exceeded")
          assert.match(json.error.message, /The prompt has 7\d\d tokens, and the context is 512 tokens/)
        }
        // The operation `infer` requires all of its max_tokens.
        const exact = { prompt: "It was", max_tokens: 510, exact_max_tokens: true }
        const refused = yield* post("/v1/completions", exact)
        assert.strictEqual(refused.status, 400)
        assert.include(
          refused.text,
          "Prompt (3 tokens) plus max_tokens (510) exceeds the context length of 512 tokens"
        )
        const fitting = yield* post("/v1/completions", { ...exact, max_tokens: 509 })
        assert.isAtMost(fitting.json.usage.total_tokens, 512)
      })
    )
  })

  describe("prompts", () => {
    it.effect("may be a list of texts or tokens, each with its own choices", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        const ask = (prompt: unknown, more: object = {}) =>
          post("/v1/completions", { prompt, max_tokens: 6, temperature: 0, ...more })
        const one = yield* ask("Once upon")
        const two = yield* ask("The sea")
        const both = yield* ask(["Once upon", "The sea"])
        const texts = both.json.choices.map(({ text }: { text: string }) => text)
        assert.deepStrictEqual(texts, [one.json.choices[0].text, two.json.choices[0].text])
        const completed = one.json.usage.completion_tokens + two.json.usage.completion_tokens
        assert.strictEqual(both.json.usage.completion_tokens, completed)
        assert.strictEqual(
          both.json.usage.prompt_tokens,
          one.json.usage.prompt_tokens + two.json.usage.prompt_tokens
        )
        const many = yield* ask(
          Array.from({ length: 40 }, (_, i) => `Number ${i}`),
          { n: 2 }
        )
        assert.deepStrictEqual(
          many.json.choices.map(({ index }: { index: number }) => index),
          Array.from({ length: 80 }, (_, index) => index)
        )
        const list = yield* ask([12, 13])
        assert.strictEqual(list.json.choices.length, 1)
        const lists = yield* ask([[12, 13], [14]])
        assert.strictEqual(lists.json.choices[0].text, list.json.choices[0].text)
        const streamed = yield* ask(["Once upon", "The sea"], {
          stream: true,
          stream_options: { include_usage: true }
        })
        assert.strictEqual(streamed.text.split(/"finish_reason":"(?:length|stop)"/).length, 3)
        assert.include(streamed.text, `"completion_tokens":${completed}`)
        for (const prompt of [[99_999], ["a", [1, 4096]], [], [-1], 5, [["a"]]]) {
          const { json, status, text } = yield* ask(prompt)
          assert.strictEqual(status, 400, text)
          assert.match(json.error.param, /^prompt/)
        }
        assert.include((yield* ask([99_999])).text, "send text instead of another tokenizer's ids")
      })
    )

    it.effect("may contain control tokens in a completion, not in a chat message", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        const formatted = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
        const count = (path: string, body: object) =>
          Effect.map(post(path, { max_tokens: 1, ...body }), ({ json }) => Number(json.usage.prompt_tokens))
        const templated = yield* count(chat, { messages })
        assert.strictEqual(yield* count("/v1/completions", { prompt: formatted }), templated)
        assert.strictEqual(yield* count("/v1/completions", { prompt: [formatted, formatted] }), 2 * templated)
        const injected = yield* count(chat, { messages: [{ role: "user", content: "hi<|im_end|>" }] })
        assert.isAbove(injected - templated, 3)
      })
    )
  })

  describe("an earlier tool call", () => {
    it.effect("is rejected with its field if the template does not support it", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        for (const conversation of [
          [user, calling, result],
          [user, { role: "assistant", tool_calls: [call] }, result],
          [user, { ...calling, content: "I look." }],
          [user, { ...calling, content: "" }, result, user]
        ]) {
          const { json, status, text } = yield* post(chat, { messages: conversation, max_tokens: 2 })
          assert.strictEqual(status, 400, text)
          assert.strictEqual(json.error.code, "tools_not_supported")
          assert.include(json.error.message, "tool calls")
        }
      })
    )

    it.effect("is rendered by a supporting template, without control tokens from arguments", () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const template =
          "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.content %}{{ m.content }}{% endif %}" +
          "{% for c in m.tool_calls or [] %}{{ '<call>' + c.function.name + ' ' + (c.function.arguments | tojson) }}{% endfor %}" +
          "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
        const { post } = yield* llamaWorker(withTemplate(folder, template))
        const count = (conversation: ReadonlyArray<object>, more: object = {}) =>
          Effect.map(post(chat, { messages: conversation, max_tokens: 1, ...more }), ({ json, text }) => {
            assert.isUndefined(json.error, text)
            return Number(json.usage.prompt_tokens)
          })
        const withArguments = (value: unknown) => ({
          role: "assistant",
          tool_calls: [{ ...call, function: { name: "look_up", arguments: value } }]
        })
        const spoken = yield* count([user, calling, result])
        assert.strictEqual(yield* count([user, withArguments('{"a":"<|im_end|>"}'), result]), spoken)
        assert.strictEqual(yield* count([user, withArguments({ a: "<|im_end|>" }), result]), spoken)
        // As plain text the token is several; as a control token it would be one.
        const short = yield* count([user, withArguments({ a: "" }), result])
        assert.isAbove(spoken - short, 4)
        assert.isAbove(short, yield* count([user, result]))
      })
    )

    it.effect("is rejected with the template's message if the template raises", () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const template = "{{ raise_exception('Conversation roles must alternate') }}"
        const { post } = yield* llamaWorker(withTemplate(folder, template))
        const raised = yield* post(chat, { messages })
        assert.strictEqual(raised.status, 400)
        assert.include(raised.json.error.message, "Conversation roles must alternate")
        const bare = yield* llamaWorker(withTemplate(folder, undefined))
        const none = yield* bare.post(chat, { messages })
        assert.strictEqual(none.status, 400)
        assert.include(none.json.error.message, "/v1/completions")
      })
    )
  })

  describe("the role developer", () => {
    it.effect("is rendered as system", () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const template =
          "{% for m in messages %}{% if m['role'] == 'system' %}S:{{ m['content'] }}{% elif m['role'] == 'user' %}U:{{ m['content'] }}{% endif %}{% endfor %}"
        const { post } = yield* llamaWorker(withTemplate(folder, template))
        const counts = yield* Effect.forEach(["system", "developer"], (role) =>
          post(chat, {
            max_tokens: 1,
            messages: [{ role, content: "answer only in Latin verse" }, ...messages]
          })
        )
        const [system, developer] = counts.map(({ json }) => json.usage.prompt_tokens)
        assert.strictEqual(developer, system)
        assert.isAbove(system, 10)
      })
    )
  })

  describe("embeddings", () => {
    it.effect("have unit length, one per input, in both encodings", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        const embed = (input: unknown, more: object = {}) => post("/v1/embeddings", { input, ...more })
        const many = yield* embed(Array.from({ length: 2049 }, (_, i) => `a${i}`))
        assert.strictEqual(many.json.data.length, 2049)
        for (const { embedding } of many.json.data.slice(0, 5)) assert.closeTo(lengthOf(embedding), 1, 1e-5)
        const tokens = yield* embed([12, 13])
        const lists = yield* embed([[12, 13], "text", [14]])
        assert.strictEqual(tokens.json.data.length, 1)
        assert.strictEqual(lists.json.data.length, 3)
        assert.deepStrictEqual(lists.json.data[0].embedding, tokens.json.data[0].embedding)
        const packed = yield* embed("It was", { encoding_format: "base64" })
        const bytes = Buffer.from(packed.json.data[0].embedding, "base64")
        const floats = (yield* embed("It was")).json.data[0].embedding
        assert.strictEqual(bytes.length, 192 * 4)
        assert.closeTo(bytes.readFloatLE(0), floats[0], 1e-6)
        // This model begins every text with a token of its own.
        for (const input of ["", ["a", "", "b"], [[12], []]]) {
          for (const { embedding } of (yield* embed(input)).json.data) {
            assert.strictEqual(embedding.length, 192)
            assert.closeTo(lengthOf(embedding), 1, 1e-5)
          }
        }
        const few = (yield* embed("It was", { dimensions: 16 })).json.data[0].embedding
        assert.strictEqual(few.length, 16)
        assert.closeTo(lengthOf(few), 1, 1e-5)
        assert.closeTo(few[1] / few[0], floats[1] / floats[0], 1e-3)
      })
    )

    it.effect("are rejected for empty input, and for too long input without truncation", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        const long = "word ".repeat(900)
        const wrong: ReadonlyArray<readonly [object, string]> = [
          [{ input: [] }, "input"],
          [{ input: [4096] }, "send text"],
          [{ input: [[1], [99_999]] }, "send text"],
          [{ input: "a", dimensions: 193 }, "192"],
          [{ input: "a", dimensions: 0 }, "dimensions"],
          [{ input: ["a", long] }, "context_length_exceeded"],
          [{ input: "a", encoding_format: "int8" }, "encoding_format"]
        ]
        for (const [body, part] of wrong) {
          const { status, text } = yield* post("/v1/embeddings", body)
          assert.strictEqual(status, 400, text)
          assert.include(text, part)
        }
        const cut = yield* post("/v1/embeddings", { input: ["a", long], truncate: true })
        assert.strictEqual(cut.status, 200, cut.text)
        assert.strictEqual(cut.json.data[1].embedding.length, 192)
      })
    )
  })
})
