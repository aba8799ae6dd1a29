import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { AiError, LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { EmbeddingModel } from "effect/ai"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import * as RbeeEmbeddingModel from "../../src/ai/RbeeEmbeddingModel.ts"
import * as RbeeLanguageModel from "../../src/ai/RbeeLanguageModel.ts"

interface Exchange {
  readonly url: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Readonly<Record<string, unknown>>
}

/** A client that records each request and responds with what the test gives. */
const respondWith = (responses: ReadonlyArray<Response | "refused">, exchanges: Array<Exchange> = []) => {
  const left = [...responses]
  return Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url) =>
      Effect.suspend(() => {
        const { body } = request
        const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : "{}"
        exchanges.push({ url: url.href, headers: request.headers, body: JSON.parse(text) })
        const response = left.shift()
        if (response === undefined || response === "refused") {
          return Effect.fail(
            new HttpClientError.HttpClientError({
              reason: new HttpClientError.TransportError({ request, description: "connection refused" })
            })
          )
        }
        return Effect.succeed(HttpClientResponse.fromWeb(request, response))
      })
    )
  )
}

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } })

const events = (...data: ReadonlyArray<unknown>) =>
  new Response(
    [...data.map((one) => `data: ${JSON.stringify(one)}\n\n`), ": wait\n\n", "data: [DONE]\n\n"].join(""),
    {
      headers: { "content-type": "text/event-stream" }
    }
  )

const url = "http://queen.test:8500/"

const model = (responses: ReadonlyArray<Response | "refused">, exchanges?: Array<Exchange>) =>
  RbeeLanguageModel.layer({ url, model: "fast", parameters: { temperature: 0 } }).pipe(
    Layer.provide(respondWith(responses, exchanges))
  )

const answer = (message: object, finish_reason = "stop") =>
  json({
    id: "c1",
    model: "fast",
    choices: [{ message, finish_reason }],
    usage: { prompt_tokens: 7, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 4 } }
  })

const Weather = Tool.make("weather", {
  description: "The weather of a city",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.Struct({ sky: Schema.String })
})
const Tools = Toolkit.make(Weather)
const ToolsLive = Tools.toLayer({ weather: ({ city }) => Effect.succeed({ sky: `clear over ${city}` }) })

const reasonOf = (response: Response | "refused") =>
  LanguageModel.generateText({ prompt: "hi" }).pipe(
    Effect.provide(model([response])),
    Effect.flip,
    Effect.map(({ reason }) => reason)
  )

describe("RbeeLanguageModel", () => {
  it.effect("sends the prompt as messages and reads text, end and usage", () => {
    const exchanges: Array<Exchange> = []
    return Effect.gen(function* () {
      const prompt = Prompt.make([
        { role: "system", content: "Be brief." },
        { role: "user", content: [{ type: "text", text: "Hello" }] }
      ])
      const { finishReason, text, usage } = yield* LanguageModel.generateText({ prompt })
      assert.strictEqual(text, "Good day")
      assert.strictEqual(finishReason, "length")
      assert.strictEqual(usage.inputTokens.total, 7)
      assert.strictEqual(usage.inputTokens.uncached, 3)
      assert.strictEqual(usage.outputTokens.total, 3)
      const [exchange] = exchanges
      assert.strictEqual(exchange?.url, "http://queen.test:8500/v1/chat/completions")
      assert.deepStrictEqual(exchange?.body, {
        temperature: 0,
        model: "fast",
        messages: [
          { role: "system", content: "Be brief." },
          { role: "user", content: "Hello" }
        ]
      })
    }).pipe(Effect.provide(model([answer({ content: "Good day" }, "length")], exchanges)))
  })

  it.effect("streams text and reasoning as deltas between their start and end", () =>
    Effect.gen(function* () {
      const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "hi" }))
      assert.deepStrictEqual(
        parts.map((part) => ("delta" in part ? `${part.type} ${part.delta}` : part.type)),
        [
          "response-metadata",
          "reasoning-start",
          "reasoning-delta hm",
          "reasoning-end",
          "text-start",
          "text-delta Good",
          "text-delta  day",
          "text-end",
          "finish"
        ]
      )
      const end = parts.at(-1)
      assert.strictEqual(end?.type === "finish" ? end.usage.outputTokens.total : undefined, 2)
    }).pipe(
      Effect.provide(
        model([
          events(
            { id: "c1", model: "fast", choices: [{ delta: { reasoning_content: "hm" } }] },
            { choices: [{ delta: { content: "Good" } }] },
            { choices: [{ delta: { content: " day" }, finish_reason: "stop" }] },
            { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } }
          )
        ])
      )
    )
  )

  it.effect("offers tools, runs the called handler and sends its result in the next turn", () => {
    const exchanges: Array<Exchange> = []
    return Effect.gen(function* () {
      const first = yield* LanguageModel.generateText({
        prompt: "Rome?",
        toolkit: Tools,
        toolChoice: "required"
      })
      assert.deepStrictEqual(
        first.toolResults.map(({ result }) => result),
        [{ sky: "clear over Rome" }]
      )
      const prompt = Prompt.concat(Prompt.make("Rome?"), Prompt.fromResponseParts(first.content))
      const second = yield* LanguageModel.generateText({ prompt, toolkit: Tools })
      assert.strictEqual(second.text, "It is clear.")
      assert.strictEqual(exchanges[0]?.body["tool_choice"], "required")
      assert.include(
        JSON.stringify(exchanges[0]?.body["tools"]),
        `"name":"weather","description":"The weather of a city"`
      )
      assert.deepStrictEqual(exchanges[1]?.body["messages"], [
        { role: "user", content: "Rome?" },
        {
          role: "assistant",
          content: null,
          tool_calls: [
            { id: "call_1", type: "function", function: { name: "weather", arguments: `{"city":"Rome"}` } }
          ]
        },
        { role: "tool", tool_call_id: "call_1", content: `{"sky":"clear over Rome"}` }
      ])
    }).pipe(
      Effect.provide([
        ToolsLive,
        model(
          [
            answer(
              {
                content: null,
                tool_calls: [{ id: "call_1", function: { name: "weather", arguments: `{"city":"Rome"}` } }]
              },
              "tool_calls"
            ),
            answer({ content: "It is clear." })
          ],
          exchanges
        )
      ])
    )
  })

  it.effect("assembles the streamed arguments of several calls", () =>
    Effect.gen(function* () {
      const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "both", toolkit: Tools }))
      assert.deepStrictEqual(
        parts.flatMap((part) => (part.type === "tool-call" ? [[part.id, part.params]] : [])),
        [
          ["a", { city: "Rome" }],
          ["b", { city: "Oslo" }]
        ]
      )
    }).pipe(
      Effect.provide([
        ToolsLive,
        model([
          events(
            {
              choices: [
                {
                  delta: { tool_calls: [{ index: 0, id: "a", function: { name: "weather", arguments: "" } }] }
                }
              ]
            },
            { choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: `{"city":` } }] } }] },
            { choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: `"Rome"}` } }] } }] },
            {
              choices: [
                {
                  delta: {
                    tool_calls: [
                      { index: 1, id: "b", function: { name: "weather", arguments: `{"city":"Oslo"}` } }
                    ]
                  },
                  finish_reason: "tool_calls"
                }
              ]
            }
          )
        ])
      ])
    )
  )

  it.effect("asks for structured output with the JSON schema of the value", () => {
    const exchanges: Array<Exchange> = []
    return Effect.gen(function* () {
      const schema = Schema.Struct({ city: Schema.String, degrees: Schema.Int })
      const { value } = yield* LanguageModel.generateObject({ prompt: "Rome", schema, objectName: "weather" })
      assert.deepStrictEqual(value, { city: "Rome", degrees: 21 })
      const format = JSON.stringify(exchanges[0]?.body["response_format"])
      assert.include(format, `"type":"json_schema","json_schema":{"name":"weather","strict":true`)
      assert.include(format, `"city":{"type":"string"`)
    }).pipe(Effect.provide(model([answer({ content: `{"city":"Rome","degrees":21}` })], exchanges)))
  })

  it.effect("sends an image as a data URL and refuses files of other types before it sends anything", () => {
    const exchanges: Array<Exchange> = []
    const ask = (mediaType: string) =>
      LanguageModel.generateText({
        prompt: Prompt.make([
          { role: "user", content: [{ type: "file", mediaType, data: new Uint8Array([1, 2, 3]) }] }
        ])
      })
    return Effect.gen(function* () {
      yield* ask("image/png")
      assert.include(JSON.stringify(exchanges[0]?.body), "data:image/png;base64,AQID")
      const { reason } = yield* Effect.flip(ask("application/pdf"))
      assert.strictEqual(reason._tag, "InvalidRequestError")
      assert.strictEqual(exchanges.length, 1)
    }).pipe(Effect.provide(model([answer({ content: "a dot" })], exchanges)))
  })

  it.effect("fails with the reason of the daemon's error", () =>
    Effect.gen(function* () {
      const busy = yield* reasonOf(json({ error: { message: "full" } }, 503, { "retry-after": "3" }))
      assert.deepStrictEqual([busy._tag, busy.isRetryable], ["RateLimitError", true])
      const wrong = yield* reasonOf(json({ error: { message: "no tools", param: "tools" } }, 400))
      assert.strictEqual(wrong._tag === "InvalidRequestError" ? wrong.parameter : "", "tools")
      assert.include(wrong.message, "no tools")
      assert.strictEqual(
        (yield* reasonOf(json({ error: { message: "no such model" } }, 404)))._tag,
        "InvalidRequestError"
      )
      assert.strictEqual((yield* reasonOf(json({}, 401)))._tag, "AuthenticationError")
      assert.strictEqual(
        (yield* reasonOf(json({ error: { message: "boom" } }, 500)))._tag,
        "InternalProviderError"
      )
      assert.strictEqual((yield* reasonOf(json({ choices: [] })))._tag, "InvalidResponseError")
      assert.strictEqual((yield* reasonOf("refused"))._tag, "NetworkError")
    })
  )

  it.effect("fails in the middle of a stream with the sentence that the daemon sent", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Stream.runDrain(LanguageModel.streamText({ prompt: "hi" })))
      assert.isTrue(AiError.isAiError(error))
      assert.include(error.message, "the worker died")
    }).pipe(
      Effect.provide(
        model([
          events({ choices: [{ delta: { content: "Go" } }] }, { error: { message: "the worker died" } })
        ])
      )
    )
  )
})

describe("RbeeEmbeddingModel", () => {
  it.effect("embeds texts that come together in one request, in their order", () => {
    const exchanges: Array<Exchange> = []
    return Effect.gen(function* () {
      const { embed } = yield* EmbeddingModel.EmbeddingModel
      const vectors = yield* Effect.all([embed("a"), embed("b")], { concurrency: "unbounded" })
      assert.deepStrictEqual(
        vectors.map(({ vector }) => vector),
        [
          [1, 0],
          [0, 1]
        ]
      )
      assert.deepStrictEqual(
        exchanges.map(({ body }) => body["input"]),
        [["a", "b"]]
      )
    }).pipe(
      Effect.provide(
        RbeeEmbeddingModel.layer({ url, model: "vectors" }).pipe(
          Layer.provide(
            respondWith(
              [
                json({
                  data: [
                    { index: 1, embedding: [0, 1] },
                    { index: 0, embedding: [1, 0] }
                  ],
                  usage: { prompt_tokens: 2 }
                })
              ],
              exchanges
            )
          )
        )
      )
    )
  })
})
