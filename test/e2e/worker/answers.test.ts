import { assert, describe, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type OpenAI from "openai"
import { TinyWorker } from "../../support/llamaWorker.ts"
import { until } from "../../support/until.ts"

const model = "rbee:tiny"
const messages = [{ role: "user" as const, content: "Tell me a story." }]

const Bee = Schema.Struct({
  kind: Schema.Literals(["queen", "drone", 'a "worker" \\ é']),
  flies: Schema.Boolean,
  name: Schema.String.check(Schema.isMaxLength(6)),
  eggs: Schema.Array(Schema.Int).check(Schema.isMinLength(1), Schema.isMaxLength(2)),
  old: Schema.optionalKey(Schema.Boolean),
  hive: Schema.NullOr(Schema.Struct({ full: Schema.Boolean })),
  last: Schema.optionalKey(Schema.Null)
})

const bee = {
  type: "object",
  properties: {
    kind: { type: "string", enum: ["queen", "drone", 'a "worker" \\ é'] },
    flies: { type: "boolean" },
    name: { type: "string", maxLength: 6 },
    eggs: { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 2 },
    old: { type: "boolean" },
    hive: { anyOf: [{ $ref: "#/$defs/Hive" }, { type: "null" }] },
    last: { type: "null" }
  },
  required: ["kind", "flies", "name", "eggs", "hive"],
  additionalProperties: false,
  $defs: { Hive: { type: "object", properties: { full: { type: "boolean" } }, required: ["full"] } }
}

const beeFormat = { type: "json_schema" as const, json_schema: { name: "bee", schema: bee, strict: true } }

const isBee = Schema.is(Bee)

layer(TinyWorker.layer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
  describe("a worker's JSON", () => {
    it.effect("conforms to the schema, complete and streamed", () =>
      Effect.gen(function* () {
        const { client } = yield* TinyWorker
        for (let seed = 0; seed < 8; seed++) {
          const body = {
            model,
            messages,
            response_format: beeFormat,
            max_tokens: 400,
            seed,
            temperature: 1.5
          }
          const whole = yield* Effect.promise(() => client.chat.completions.create(body))
          assert.strictEqual(whole.choices[0]?.finish_reason, "stop")
          const text = whole.choices[0]?.message.content ?? ""
          assert.isTrue(isBee(JSON.parse(text)), text)
          const streamed = yield* Effect.promise(async () => {
            let pieces = ""
            for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
              pieces += chunk.choices[0]?.delta.content ?? ""
            }
            return pieces
          })
          assert.strictEqual(streamed, text)
        }
      })
    )

    it.effect("is an object with json_object, also in a completion", () =>
      Effect.gen(function* () {
        const { client, post } = yield* TinyWorker
        const format = { type: "json_object" as const }
        const asked = Array.from({ length: 12 }, (_, seed) => seed)
        const answers = yield* Effect.forEach(asked, (seed) =>
          Effect.promise(() =>
            client.chat.completions.create({
              model,
              messages,
              response_format: format,
              max_tokens: 440,
              seed
            })
          )
        )
        const ended = answers.filter(({ choices }) => choices[0]?.finish_reason === "stop")
        assert.isAbove(ended.length, 0)
        for (const { choices } of ended) assert.isObject(JSON.parse(choices[0]?.message.content ?? ""))
        for (const { choices } of answers) assert.strictEqual(choices[0]?.message.content?.[0], "{")
        const completion = yield* post("/v1/completions", {
          prompt: "It was",
          response_format: beeFormat,
          max_tokens: 400
        })
        assert.isTrue(isBee(JSON.parse(JSON.parse(completion.text).choices[0].text)))
      })
    )

    it.effect("conforms to patterns, lengths and bounds, also without 'strict'", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        const plate = { type: "string", pattern: "^[A-Z]{2}-\\d{2,4}$", maxLength: 6 }
        const loose = { type: "string", pattern: "b+e", minLength: 4, maxLength: 8 }
        const schema = {
          type: "object",
          properties: {
            plate,
            loose,
            day: { type: "string", format: "date" },
            part: { type: "number", exclusiveMinimum: 0, maximum: 0.5 },
            year: { type: "integer", minimum: 1995, maximum: 2031 }
          },
          required: ["plate", "loose", "day", "part", "year"]
        }
        const Fitting = Schema.Struct({
          plate: Schema.String.check(Schema.isPattern(/^[A-Z]{2}-\d{2,3}$/)),
          loose: Schema.String.check(Schema.isPattern(/b+e/), Schema.isMinLength(4)),
          day: Schema.String.check(Schema.isPattern(/^\d{4}-\d\d-\d\d$/)),
          part: Schema.Finite.check(Schema.isGreaterThan(0), Schema.isLessThanOrEqualTo(0.5)),
          year: Schema.Int.check(Schema.isBetween({ minimum: 1995, maximum: 2031 }))
        })
        const fits = Schema.is(Fitting)
        for (let seed = 0; seed < 6; seed++) {
          const { status, text } = yield* post("/v1/chat/completions", {
            messages,
            seed,
            temperature: 1.5,
            max_tokens: 400,
            response_format: { type: "json_schema", json_schema: { schema } }
          })
          assert.strictEqual(status, 200, text)
          const { content } = JSON.parse(text).choices[0].message
          assert.isTrue(fits(JSON.parse(content)), content)
          assert.isAtMost(Array.from(String(JSON.parse(content).loose)).length, 8)
        }
      })
    )

    it.effect("is rejected for a schema that no grammar can enforce", () =>
      Effect.gen(function* () {
        const { busy, post } = yield* TinyWorker
        const format = (schema: unknown, strict: boolean) => ({
          messages,
          max_tokens: 8,
          response_format: { type: "json_schema", json_schema: { name: "x", schema, strict } }
        })
        const large = { enum: Array.from({ length: 9000 }, (_, i) => `word ${i}`) }
        const wrong: ReadonlyArray<readonly [unknown, string]> = [
          [{ type: "string", pattern: "^(?=a)" }, "'pattern', which looks ahead"],
          [{ type: "integer", multipleOf: 7 }, "'multipleOf'"],
          [{ type: "strange" }, "strange"],
          [{ $ref: "#/$defs/none" }, "leads to nothing"],
          [{ $ref: "#" }, "recurses without end"],
          [{ enum: [] }, "'enum'"],
          [large, "65536 characters"],
          [undefined, "schema"]
        ]
        for (const [schema, part] of wrong) {
          const { status, text } = yield* post("/v1/chat/completions", format(schema, true))
          assert.strictEqual(status, 400, text)
          assert.match(JSON.parse(text).error.param, /^response_format/)
          assert.include(JSON.parse(text).error.message, part)
        }
        const bare = { messages, response_format: { type: "json_schema" } }
        assert.include((yield* post("/v1/chat/completions", bare)).text, "is required")
        const loose = yield* post("/v1/chat/completions", format({ type: "boolean", not: {} }, false))
        assert.include(["true", "false"], JSON.parse(loose.text).choices[0].message.content)
        assert.strictEqual(yield* busy, 0)
      })
    )
  })

  describe("a worker's log probabilities", () => {
    it.effect("are in a chat answer, complete and streamed", () =>
      Effect.gen(function* () {
        const { client } = yield* TinyWorker
        const body = {
          model,
          messages,
          max_tokens: 24,
          seed: 4,
          logprobs: true,
          top_logprobs: 20,
          stop: ["zzz"]
        }
        const whole = yield* Effect.promise(() => client.chat.completions.create(body))
        const content = whole.choices[0]?.logprobs?.content ?? []
        assert.strictEqual(content.length, 24)
        assert.strictEqual(content.map(({ token }) => token).join(""), whole.choices[0]?.message.content)
        for (const { bytes, logprob, token, top_logprobs: top } of content) {
          assert.strictEqual(Buffer.from(bytes ?? []).toString(), token)
          assert.isAtMost(logprob, 0)
          assert.isAtMost(top.length, 20)
          assert.closeTo(top.find((other) => other.token === token)?.logprob ?? logprob, logprob, 1e-6)
          assert.deepStrictEqual(
            top.map((other) => other.logprob),
            top.map((other) => other.logprob).toSorted((a, b) => b - a)
          )
          const sum = top.reduce((total, other) => total + Math.exp(other.logprob), 0)
          assert.isAbove(sum, 0.5)
          assert.isBelow(sum, 1.0001)
        }
        const streamed = yield* Effect.promise(async () => {
          const chunks: Array<OpenAI.ChatCompletionChunk.Choice> = []
          for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
            chunks.push(...chunk.choices)
          }
          return chunks
        })
        for (const { delta, logprobs } of streamed) {
          const tokens = (logprobs?.content ?? []).map(({ token }) => token).join("")
          assert.strictEqual(tokens, delta.content ?? "")
        }
        assert.deepStrictEqual(
          streamed.flatMap(({ logprobs }) => logprobs?.content ?? []),
          content
        )
      })
    )

    it.effect("are in a completion, only if requested", () =>
      Effect.gen(function* () {
        const { client, post } = yield* TinyWorker
        const body = { model, prompt: "It was", max_tokens: 12, temperature: 0 }
        const { choices } = yield* Effect.promise(() => client.completions.create({ ...body, logprobs: 3 }))
        const {
          text_offset: offsets = [],
          tokens = [],
          token_logprobs: own = [],
          top_logprobs: top = []
        } = choices[0]?.logprobs ?? {}
        assert.strictEqual(tokens.join(""), choices[0]?.text)
        assert.deepStrictEqual(
          offsets,
          tokens.map((_, i) => tokens.slice(0, i).join("").length)
        )
        assert.strictEqual(own.length, 12)
        for (const [i, likely] of top.entries()) {
          assert.strictEqual(Object.keys(likely).length, 3)
          // Without a temperature the likeliest token is the one that is taken.
          assert.closeTo(Math.max(...Object.values(likely)), own[i] ?? 1, 1e-6)
        }
        const plain = yield* Effect.promise(() => client.completions.create(body))
        assert.isNull(plain.choices[0]?.logprobs)
        assert.strictEqual(plain.choices[0]?.text, choices[0]?.text)
        const lone = yield* post("/v1/chat/completions", { messages, top_logprobs: 2 })
        assert.strictEqual(lone.status, 400)
        assert.include(lone.text, `"param":"top_logprobs"`)
      })
    )
  })

  describe("a worker's choices", () => {
    it.effect("match the requested number, each with its index", () =>
      Effect.gen(function* () {
        const { busy, client } = yield* TinyWorker
        const body = { model, messages, max_tokens: 10, n: 3, seed: 5, temperature: 1.5 }
        const { choices, usage } = yield* Effect.promise(() => client.chat.completions.create(body))
        assert.deepStrictEqual(
          choices.map(({ index }) => index),
          [0, 1, 2]
        )
        assert.strictEqual(new Set(choices.map(({ message }) => message.content)).size, 3)
        const one = yield* Effect.promise(() => client.chat.completions.create({ ...body, n: 1 }))
        assert.strictEqual(choices[0]?.message.content, one.choices[0]?.message.content)
        assert.strictEqual(usage?.prompt_tokens, one.usage?.prompt_tokens)
        assert.strictEqual(usage?.completion_tokens, 30)
        const streamed = yield* Effect.promise(async () => {
          const texts = ["", "", ""]
          const reasons: Array<string> = []
          let total = 0
          const options = { ...body, stream: true as const, stream_options: { include_usage: true } }
          for await (const chunk of await client.chat.completions.create(options)) {
            for (const { delta, finish_reason: reason, index } of chunk.choices) {
              texts[index] += delta.content ?? ""
              if (reason !== null) reasons.push(reason)
            }
            total += chunk.usage?.completion_tokens ?? 0
          }
          return { texts, reasons, total }
        })
        assert.deepStrictEqual(
          streamed.texts,
          choices.map(({ message }) => message.content ?? "")
        )
        assert.deepStrictEqual(streamed.reasons, ["length", "length", "length"])
        assert.strictEqual(streamed.total, 30)
        const greedy = yield* Effect.promise(() =>
          client.completions.create({ model, prompt: "It was", n: 8, temperature: 0, max_tokens: 8 })
        )
        const texts = greedy.choices.map(({ text }) => text)
        assert.deepStrictEqual(
          texts,
          Array.from({ length: 8 }, () => texts[0])
        )
        assert.strictEqual(yield* busy, 0)
      })
    )

    it.effect("all stop when the request is cancelled", () =>
      Effect.gen(function* () {
        const { busy, url } = yield* TinyWorker
        const response = yield* Effect.promise(() =>
          fetch(`${url}/v1/completions`, {
            method: "POST",
            headers: { "x-request-id": "many" },
            body: JSON.stringify({ prompt: "It was", max_tokens: 500, n: 8, stream: true })
          })
        )
        yield* until(busy, (busy) => busy > 1, "2 seconds")
        yield* Effect.promise(() => fetch(`${url}/v1/requests/many`, { method: "DELETE" }))
        assert.strictEqual(yield* busy, 0)
        const text = yield* Effect.promise(() => response.text())
        assert.strictEqual(text.split(`"finish_reason":"cancelled"`).length, 9)
        assert.isTrue(text.endsWith("data: [DONE]\n\n"))
      })
    )

    it.effect("repeat less with penalties", () =>
      Effect.gen(function* () {
        const { client } = yield* TinyWorker
        const repeated = (penalties: object) =>
          Effect.promise(async () => {
            const body = {
              model,
              prompt: "It was",
              max_tokens: 120,
              temperature: 0,
              logprobs: 0,
              ...penalties
            }
            const tokens = (await client.completions.create(body)).choices[0]?.logprobs?.tokens ?? []
            return 1 - new Set(tokens).size / tokens.length
          })
        const free = yield* repeated({})
        assert.isBelow(yield* repeated({ frequency_penalty: 2 }), free)
        assert.isBelow(yield* repeated({ presence_penalty: 2 }), free)
        assert.isAbove(yield* repeated({ frequency_penalty: -2 }), free)
        assert.isBelow(yield* repeated({ repeat_penalty: 1.3 }), free)
        assert.isBelow(yield* repeated({ repetition_penalty: 1.3, repeat_last_n: 200 }), free)
        assert.strictEqual(yield* repeated({ repeat_penalty: 1.3, repeat_last_n: 0 }), free)
      })
    )
  })

  describe("continue_final_message", () => {
    it.effect("continues the assistant's message as if uninterrupted", () =>
      Effect.gen(function* () {
        const { client, post } = yield* TinyWorker
        const body = { model, temperature: 0, max_tokens: 60 }
        const pieces = yield* Effect.promise(async () => {
          const pieces: Array<string> = []
          for await (const { choices } of await client.chat.completions.create({
            ...body,
            messages,
            stream: true
          })) {
            const content = choices[0]?.delta.content
            if (typeof content === "string" && content !== "") pieces.push(content)
          }
          return pieces
        })
        assert.isAbove(pieces.length, 30)
        for (const cut of [1, 2, 7, 20, 59]) {
          const said = pieces.slice(0, cut).join("")
          const { status, text } = yield* post("/v1/chat/completions", {
            ...body,
            max_tokens: 60 - cut,
            messages: [...messages, { role: "assistant", content: said }],
            add_generation_prompt: false,
            continue_final_message: true
          })
          assert.strictEqual(status, 200, text)
          assert.strictEqual(JSON.parse(text).choices[0].message.content, pieces.slice(cut).join(""))
        }
      })
    )
  })

  describe("a worker's rejections", () => {
    it.effect("name the field", () =>
      Effect.gen(function* () {
        const { post } = yield* TinyWorker
        const tool = { type: "function", function: { name: "look" } }
        const wrong: ReadonlyArray<readonly [object, string, string]> = [
          [{ tools: [tool] }, "tools", "the built-in engine has no tool calls"],
          [{ n: 9 }, "n", "8"],
          [{ n: 0 }, "n", "1"],
          [{ top_logprobs: 21, logprobs: true }, "top_logprobs", "20"],
          [{ presence_penalty: 2.1 }, "presence_penalty", "2"],
          [{ frequency_penalty: -3 }, "frequency_penalty", "2"],
          [{ stop: Array.from({ length: 65 }, () => "x") }, "stop", "64"],
          [{ messages: [{ role: "robot", content: "x" }] }, "messages.0.role", "user"],
          [{ messages: [{ role: "user", content: null }] }, "messages.0.content", "string"],
          [{ messages: null }, "messages", "Expected array"],
          [{ messages: undefined }, "messages", "is required"],
          [{ continue_final_message: true }, "continue_final_message", "assistant"]
        ]
        for (const [part, param, word] of wrong) {
          const { status, text } = yield* post("/v1/chat/completions", { messages, ...part })
          assert.strictEqual(status, 400, text)
          assert.strictEqual(JSON.parse(text).error.param, param, text)
          assert.include(JSON.parse(text).error.message, word)
        }
        const none = yield* post("/v1/chat/completions", { messages, max_tokens: 1, tools: [], n: null })
        assert.strictEqual(none.status, 200)
      })
    )
  })
})
