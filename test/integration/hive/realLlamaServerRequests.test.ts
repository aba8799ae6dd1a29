import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { SettingChanges } from "../../../src/settings/Settings.ts"
import {
  answer,
  chat,
  chunks,
  LlamaEndpoints,
  question,
  refusesAll,
  user
} from "../../support/llamaEndpoints.ts"
import {
  describeWithLlamaServer,
  instructModel,
  llamaServerProgram,
  llamaServerSettings
} from "../../support/llamaServer.ts"

const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
const text = { type: "text", text: "What is this?" }
const image = (url: string) => ({ messages: user([text, { type: "image_url", image_url: { url } }]) })
const audio = {
  messages: user([text, { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } }])
}

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] }
const weather = { type: "function", function: { name: "weather", parameters } }

const schemaOf = (schema: object) => ({
  type: "json_schema",
  json_schema: { name: "answer", strict: true, schema }
})
const closed = (properties: Readonly<Record<string, object>>) => ({
  type: "object",
  properties,
  required: Object.keys(properties),
  additionalProperties: false
})

/** JSON schemas, and what reads the answers that fit them and no others. */
const schemas = [
  [
    closed({ city: { type: "string", maxLength: 12 }, age: { type: "integer", minimum: 0, maximum: 99 } }),
    Schema.Struct({
      city: Schema.String.check(Schema.isMaxLength(12)),
      age: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 99 }))
    })
  ],
  [
    { type: "array", items: { enum: ["red", "green"] }, minItems: 2, maxItems: 3 },
    Schema.Array(Schema.Literals(["red", "green"])).check(Schema.isMinLength(2), Schema.isMaxLength(3))
  ],
  [
    closed({ place: closed({ capital: { type: "boolean" } }), code: { const: "FR" } }),
    Schema.Struct({ place: Schema.Struct({ capital: Schema.Boolean }), code: Schema.Literal("FR") })
  ]
] as const

const LogProb = { token: Schema.String, logprob: Schema.Finite.check(Schema.isLessThanOrEqualTo(0)) }
const ChatLogProbs = Schema.Array(
  Schema.Struct({
    ...LogProb,
    bytes: Schema.Array(Schema.Int),
    top_logprobs: Schema.Array(Schema.Struct(LogProb))
  })
)
const readChatLogProbs = Schema.decodeUnknownSync(ChatLogProbs)
const CompletionLogProbs = Schema.Struct({
  tokens: Schema.Array(Schema.String),
  token_logprobs: Schema.Array(Schema.Finite.check(Schema.isLessThanOrEqualTo(0))),
  top_logprobs: Schema.Array(Schema.Record(Schema.String, Schema.Finite)),
  text_offset: Schema.Array(Schema.Int)
})
const readCompletionLogProbs = Schema.decodeUnknownSync(CompletionLogProbs)

describeWithLlamaServer("requests to llama-server as the hive's engine", () => {
  const settings = {
    ...llamaServerSettings(["--threads", "1"]),
    aliases: { forced: { model: instructModel, engine: "llama-server" } }
  }
  layer(LlamaEndpoints.layer(settings), { timeout: "90 seconds", excludeTestServices: true })(
    "on one worker",
    (it) => {
      it.effect("get an answer that conforms to the requested JSON schema", () =>
        Effect.gen(function* () {
          const { hive, oneWorker, queen } = yield* LlamaEndpoints
          for (const [schema, expected] of schemas) {
            const fields = { ...question, max_tokens: 60, response_format: schemaOf(schema) }
            const whole = yield* answer(queen, chat, fields)
            const pieces = yield* chunks(hive, chat, fields)
            const streamed = pieces.map(({ delta }) => delta.content ?? "").join("")
            for (const given of [whole.choices[0].message.content, streamed]) {
              const value: unknown = JSON.parse(given)
              assert.doesNotThrow(() => {
                Schema.decodeUnknownSync(expected, { onExcessProperty: "error" })(value)
              })
            }
          }
          yield* oneWorker
        })
      )

      it.effect("get log probabilities with the most likely tokens in a chat", () =>
        Effect.gen(function* () {
          const { queen } = yield* LlamaEndpoints
          for (const most of [1, 3, 20]) {
            const fields = { ...question, logprobs: true, top_logprobs: most }
            const { choices } = yield* answer(queen, chat, fields)
            const whole = readChatLogProbs(choices[0].logprobs.content)
            assert.strictEqual(whole.map(({ token }) => token).join(""), choices[0].message.content)
            const pieces = yield* chunks(queen, chat, fields)
            const streamed = readChatLogProbs(pieces.flatMap(({ logprobs }) => logprobs?.content ?? []))
            for (const tokens of [whole, streamed]) {
              assert.strictEqual(tokens.length, 4)
              for (const { bytes, logprob, token, top_logprobs } of tokens) {
                assert.strictEqual(Buffer.from(bytes).toString(), token)
                assert.strictEqual(top_logprobs.length, most)
                // At temperature 0 the likeliest token is taken.
                assert.deepStrictEqual([top_logprobs[0]?.token, top_logprobs[0]?.logprob], [token, logprob])
              }
            }
          }
        })
      )

      it.effect("get the log probabilities of a completion in OpenAI's format", () =>
        Effect.gen(function* () {
          const { hive, queen } = yield* LlamaEndpoints
          for (const [url, most] of [
            [queen, 1],
            [queen, 3],
            [hive, 2]
          ] as const) {
            const fields = { prompt: "The capital of France is", logprobs: most }
            const { choices } = yield* answer(url, "completions", fields)
            const pieces = yield* chunks(url, "completions", fields)
            const parts = pieces.flatMap(({ logprobs }) =>
              logprobs ? [readCompletionLogProbs(logprobs)] : []
            )
            for (const { text, ...given } of [
              { text: choices[0].text, ...readCompletionLogProbs(choices[0].logprobs) },
              {
                text: pieces.map(({ text }) => text ?? "").join(""),
                tokens: parts.flatMap(({ tokens }) => tokens),
                token_logprobs: parts.flatMap(({ token_logprobs }) => token_logprobs),
                top_logprobs: parts.flatMap(({ top_logprobs }) => top_logprobs),
                text_offset: parts.flatMap(({ text_offset }) => text_offset)
              }
            ]) {
              assert.strictEqual(given.tokens.join(""), text)
              assert.strictEqual(given.tokens.length, 4)
              for (const [i, token] of given.tokens.entries()) {
                assert.strictEqual(given.text_offset[i], given.tokens.slice(0, i).join("").length)
                assert.strictEqual(given.top_logprobs[i]?.[token], given.token_logprobs[i])
                assert.strictEqual(Object.keys(given.top_logprobs[i] ?? {}).length, most)
              }
            }
          }
        })
      )

      it.effect("that the model or its server cannot serve are rejected before they reach a worker", () =>
        Effect.gen(function* () {
          const place = "its chat template does not support tools"
          yield* refusesAll([
            { path: chat, fields: { ...question, tools: [weather] }, words: place },
            { path: chat, fields: { ...question, tools: [weather], tool_choice: "required" }, words: place },
            { path: chat, fields: { ...question, tools: [weather], stream: true }, words: place },
            { path: chat, fields: image(pixel), words: "does not accept images" },
            { path: chat, fields: image("http://127.0.0.1:9/x.png"), words: "does not accept images" },
            { path: chat, fields: { ...image(pixel), stream: true }, words: "does not accept images" },
            {
              path: "embeddings",
              fields: { model: "forced", input: "sea" },
              words: "cannot create embeddings"
            },
            {
              path: "embeddings",
              fields: { model: "forced", input: ["a", "b"] },
              words: "cannot create embeddings"
            },
            {
              path: "embeddings",
              fields: { model: "forced", input: [1, 2] },
              words: "cannot create embeddings"
            }
          ])
          const { queen } = yield* LlamaEndpoints
          yield* answer(queen, chat, { ...question, tools: [weather], tool_choice: "none" })
        })
      )

      it.effect("with a prompt longer than the context get context_length_exceeded", () =>
        Effect.gen(function* () {
          const long = { messages: user("word ".repeat(9000)) }
          const expected = { code: "context_length_exceeded", words: "exceeds the available context size" }
          yield* refusesAll([
            { path: chat, fields: long, ...expected },
            { path: chat, fields: { ...long, stream: true }, ...expected },
            { path: "completions", fields: { prompt: "word ".repeat(9000) }, ...expected }
          ])
        })
      )

      it.effect("with an invalid parameter are rejected with the server's message", () =>
        Effect.gen(function* () {
          const format = (schema: object) => ({ ...question, response_format: schemaOf(schema) })
          yield* refusesAll([
            { path: chat, fields: { ...question, grammar: "root ::= (" }, words: "failed to parse grammar" },
            {
              path: chat,
              fields: { ...question, grammar: "(", stream: true },
              words: "failed to parse grammar"
            },
            { path: "completions", fields: { prompt: "a", grammar: "root ::= (" }, words: "parse grammar" },
            { path: chat, fields: format({ type: "nonsense" }), words: "unrecognized type nonsense" },
            { path: chat, fields: format({ $ref: "#/definitions/none" }), words: "cannot resolve $ref" },
            {
              path: "completions",
              fields: { prompt: [99_999_999] },
              words: "Prompt contains invalid tokens"
            },
            { path: chat, fields: { ...question, temperature: "hot" }, words: "type must be number" }
          ])
        })
      )
    }
  )
})

/** Raises for a conversation that begins with `raise`, as templates do whose roles must alternate. */
const raising =
  "{% if messages[0].content == 'raise' %}{{ raise_exception('Roles must alternate') }}{% endif %}" +
  "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}" +
  "<|im_start|>assistant\n"

describeWithLlamaServer("requests to a llama-server with unknown capabilities", () => {
  const flags =
    "--model {model} --alias {model_id} --port {port} --ctx-size {context} --parallel 1 --threads 1 --jinja"
  const command = [llamaServerProgram, ...flags.split(" "), "--chat-template", raising] as const
  const settings: SettingChanges = {
    engine: { name: "own", contextSize: 512, parallel: 1 },
    engines: { own: { command } }
  }
  layer(LlamaEndpoints.layer(settings), { timeout: "90 seconds", excludeTestServices: true })(
    "on one worker",
    (it) => {
      it.effect("are rejected with the server's message as the client's fault, and no worker is blamed", () =>
        Effect.gen(function* () {
          const noTool = { ...question, tools: [{ type: "function" }] }
          const raise = { messages: user("raise") }
          yield* refusesAll([
            {
              path: "embeddings",
              fields: { input: "sea" },
              status: 501,
              words: "does not support embeddings"
            },
            { path: "embeddings", fields: { input: ["a", "b"] }, status: 501, words: "--embeddings" },
            { path: chat, fields: image(pixel), words: "image input is not supported" },
            { path: chat, fields: { ...image(pixel), stream: true }, words: "image input is not supported" },
            { path: chat, fields: audio, words: "audio input is not supported" },
            { path: chat, fields: noTool, words: "Missing tool function" },
            { path: chat, fields: raise, words: "Roles must alternate" },
            { path: chat, fields: { ...raise, stream: true }, words: "Roles must alternate" }
          ])
        })
      )
    }
  )
})
