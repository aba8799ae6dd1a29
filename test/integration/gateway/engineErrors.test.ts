import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { dataOf, openStream, post } from "../../support/applications.ts"
import { Client, withHive } from "../../support/hive.ts"

const engine = new URL("../../support/fakeRawEngine.ts", import.meta.url).pathname

const settings = {
  engine: { name: "raw" },
  engines: {
    raw: { command: [process.execPath, engine, "--port", "{port}", "--name", "{model_id}"] as const }
  }
}

const model = "rbee:tiny"
const json = (value: unknown) => JSON.stringify(value)

/** A request that has the engine answer so. */
const request = (status: number, type: string, ...pieces: ReadonlyArray<string>) => ({
  model,
  max_tokens: 10,
  messages: [{ role: "user", content: json({ status, type, pieces }) }]
})

const refusing = (status: number, body: string) =>
  request(status, body.startsWith("{") ? "application/json" : "text/plain", body)

const opening = `data: ${json({ id: "1", choices: [{ index: 0, delta: { content: "Hel" }, finish_reason: null }] })}\n\n`
const sse = (...frames: ReadonlyArray<string>) => request(200, "text/event-stream", ...frames)

const overflow = {
  error: {
    code: 400,
    message: "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    type: "exceed_context_size_error",
    n_ctx: 4096
  }
}

/** What an engine says, and the status, message, type and code that a client of OpenAI's API gets. */
const refusals: ReadonlyArray<readonly [body: string, status: number, expected: ReadonlyArray<unknown>]> = [
  [
    json({ error: { code: 400, message: "a number", type: "invalid_request_error" } }),
    400,
    [400, "a number", "invalid_request_error", "400"]
  ],
  [
    json({ error: { code: "bad_x", message: "a text", type: "x", param: "y" } }),
    400,
    [400, "a text", "x", "bad_x"]
  ],
  [
    json({ object: "error", message: "flat words", type: "BadRequestError", code: 400 }),
    400,
    [400, "flat words", "BadRequestError", "400"]
  ],
  [json({ error: "only words" }), 422, [422, "only words", "invalid_request_error", "WorkerRefused"]],
  [json({ detail: "Not here" }), 404, [404, "Not here", "invalid_request_error", "WorkerRefused"]],
  [
    json({ detail: [{ loc: ["body", "top_p"], msg: "too large", type: "value_error" }] }),
    422,
    [422, "top_p: too large", "value_error", "WorkerRefused"]
  ],
  ["Internal Server Error", 500, [500, "Internal Server Error", "server_error", "WorkerRefused"]],
  [
    json(overflow),
    400,
    [400, overflow.error.message, "exceed_context_size_error", "context_length_exceeded"]
  ],
  // An engine's status is no guide: the client has to shorten its prompt all the same.
  [
    json({ error: { code: 500, message: "Context size has been exceeded.", type: "server_error" } }),
    500,
    [400, "Context size has been exceeded.", "server_error", "context_length_exceeded"]
  ]
]

const errorOf = (text: string) => JSON.parse(text).error
const summary = (status: number, text: string) => {
  const { code, message, type } = errorOf(text)
  return [status, message, type, code]
}

describe("an engine's error message", () => {
  it.live(
    "reaches clients of OpenAI's API, for complete answers and streams",
    () =>
      Effect.gen(function* () {
        const { url } = (yield* Client).peer
        for (const [body, status, expected] of refusals) {
          for (const stream of [false, true]) {
            const answer = yield* post(url, "/v1/chat/completions", { ...refusing(status, body), stream })
            assert.deepStrictEqual(summary(answer.status, answer.text), expected)
          }
          const embedded = yield* post(url, "/v1/embeddings", {
            model,
            input: refusing(status, body).messages[0]?.content
          })
          assert.deepStrictEqual(summary(embedded.status, embedded.text), expected)
        }
      }).pipe((test) => withHive(test, { settings })),
    60_000
  )

  it.live(
    "reaches clients of the other APIs in their formats",
    () =>
      Effect.gen(function* () {
        const { url } = (yield* Client).peer
        const words = refusing(400, json({ error: { code: "bad_x", message: "own words", type: "x" } }))
        const anthropic = yield* post(url, "/v1/messages", words)
        assert.strictEqual(anthropic.status, 400)
        assert.deepStrictEqual(JSON.parse(anthropic.text), {
          type: "error",
          error: {
            type: "invalid_request_error",
            message: "own words",
            code: "bad_x",
            engine_type: "x"
          }
        })
        const ollama = yield* post(url, "/api/chat", words)
        assert.strictEqual(ollama.status, 400)
        assert.deepStrictEqual(JSON.parse(ollama.text), {
          error: "own words",
          code: "bad_x",
          engine_type: "x"
        })

        const long = refusing(400, json(overflow))
        const shortened = yield* post(url, "/v1/messages", long)
        assert.strictEqual(errorOf(shortened.text).message, `prompt is too long: ${overflow.error.message}`)
        assert.strictEqual(errorOf(shortened.text).code, "context_length_exceeded")
        const ollamaLong = JSON.parse((yield* post(url, "/api/chat", long)).text)
        assert.deepInclude(ollamaLong, { error: overflow.error.message, code: "context_length_exceeded" })
        const responses = yield* post(url, "/v1/responses", {
          model,
          input: long.messages[0]?.content
        })
        assert.deepStrictEqual(summary(responses.status, responses.text), [
          400,
          overflow.error.message,
          "exceed_context_size_error",
          "context_length_exceeded"
        ])
      }).pipe((test) => withHive(test, { settings })),
    60_000
  )

  it.live(
    "sets the answer's status if it is the first event of a stream",
    () =>
      Effect.gen(function* () {
        const { url } = (yield* Client).peer
        const cases: ReadonlyArray<readonly [frame: string, expected: ReadonlyArray<unknown>]> = [
          [
            `data: ${json(overflow)}\n\n`,
            [400, overflow.error.message, "exceed_context_size_error", "context_length_exceeded"]
          ],
          [
            `data: ${json({ error: { code: 500, message: "it broke", type: "server_error" } })}\n\n`,
            [500, "it broke", "server_error", "500"]
          ],
          [
            `data: ${json({ object: "error", message: "flat", code: 400 })}\n\n`,
            [400, "flat", "invalid_request_error", "400"]
          ],
          [`event: error\ndata: it broke\n\n`, [502, "it broke", "server_error", "WorkerRefused"]],
          // An older llama-server's.
          [
            `error: ${json({ error: { code: 400, message: "old", type: "x" } })}\n\n`,
            [400, "old", "x", "400"]
          ]
        ]
        for (const [frame, expected] of cases) {
          for (const stream of [false, true]) {
            const answer = yield* post(url, "/v1/chat/completions", { ...sse(frame), stream })
            assert.deepStrictEqual(summary(answer.status, answer.text), expected)
          }
        }
        // A document in place of a stream.
        const document = request(200, "application/json", json({ error: "not today" }))
        const answer = yield* post(url, "/v1/chat/completions", document)
        assert.deepStrictEqual(summary(answer.status, answer.text), [
          502,
          "not today",
          "server_error",
          "WorkerRefused"
        ])
      }).pipe((test) => withHive(test, { settings })),
    60_000
  )

  it.live(
    "ends a stream that has begun",
    () =>
      Effect.gen(function* () {
        const { url } = (yield* Client).peer
        const frames = [
          opening,
          `data: ${json({ error: { code: 500, message: "it broke", type: "t" } })}\n\n`
        ]
        const openai = yield* openStream(url, "/v1/chat/completions", sse(...frames))
        yield* openai.until(({ closed }) => closed)
        assert.deepStrictEqual(errorOf(dataOf(openai).at(-1) ?? ""), {
          message: "it broke",
          type: "t",
          param: null,
          code: "500"
        })
        const anthropic = yield* openStream(url, "/v1/messages", sse(...frames))
        yield* anthropic.until(({ closed }) => closed)
        const [last = ""] = anthropic.body.split("event: error\ndata: ").slice(-1)
        assert.deepInclude(errorOf(last), { type: "api_error", message: "it broke", code: "500" })
        const ollama = yield* openStream(url, "/api/chat", sse(...frames))
        yield* ollama.until(({ closed }) => closed)
        assert.deepInclude(JSON.parse(ollama.body.trim().split("\n").at(-1) ?? ""), { error: "it broke" })
      }).pipe(Effect.scoped, (test) => withHive(test, { settings })),
    60_000
  )
})
