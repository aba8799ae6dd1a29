import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { WorkerClient } from "../../../src/hive/workers/WorkerClient.ts"
import { workerPool } from "../../../src/http/workerPool.ts"
import { Settings } from "../../../src/settings/Settings.ts"

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** A worker at a port of loopback that answers as it is told. */
const worker = (answer: Answer) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
      const server = createServer(answer)
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        const close = () => {
          server.closeAllConnections()
          server.close()
        }
        resume(Effect.succeed({ port, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const layer = WorkerClient.layerNoDeps.pipe(
  Layer.provide(workerPool),
  Layer.provide(
    Settings.layerDefaults({
      timeouts: {
        firstToken: Duration.millis(300),
        firstTokenPer1000: Duration.millis(300),
        betweenTokens: Duration.millis(200)
      }
    })
  ),
  Layer.provide(NodeServices.layer)
)

const request = {
  api: "completions" as const,
  promptTokens: 1000,
  body: { model: "m", prompt: "p", max_tokens: 3, top_p: undefined, stream: true }
}

const piece = (text: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, text, finish_reason: finish }] })}\n\n`

const sse = (response: ServerResponse) => response.writeHead(200, { "content-type": "text/event-stream" })

const complete = Effect.fnUntraced(function* (answer: Answer) {
  const { port } = yield* worker(answer)
  const client = yield* WorkerClient
  const received: Array<string> = []
  const take = (data: ReadonlyArray<string>) => Effect.sync(() => void received.push(...data))
  yield* client.stream({ id: "w", port }, "job-1", request, take)
  return received
})

describe("WorkerClient", () => {
  it.live("sends the request with its id, and reads events wherever chunks cut them", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const bytes = Buffer.from(`: hello\n\n${piece("grüß")}${piece("dich", "stop")}data: [DONE]\n\n`)
      const pieces = yield* complete((request, response) => {
        let body = ""
        request.on("data", (chunk) => (body += String(chunk)))
        request.on("end", () => {
          seen.push(request.headers["x-request-id"], JSON.parse(body))
          sse(response)
          let sent = 0
          const next = () => {
            if (sent === bytes.length) response.end()
            else response.write(bytes.subarray(sent, ++sent), () => setImmediate(next))
          }
          next()
        })
      })
      assert.deepStrictEqual(
        pieces.map((data) => JSON.parse(data).choices[0].text),
        ["grüß", "dich"]
      )
      assert.deepStrictEqual(seen, [
        "job-1",
        {
          model: "m",
          prompt: "p",
          max_tokens: 3,
          stream: true
        }
      ])
    }).pipe(Effect.provide(layer))
  )

  it.live("turns a worker's refusal into a typed error", () =>
    Effect.gen(function* () {
      const refusal = (status: number, error: object | string) =>
        Effect.flip(
          complete((_, response) => {
            response.writeHead(status)
            response.end(typeof error === "string" ? error : JSON.stringify({ error }))
          })
        )
      const long = yield* refusal(400, { message: "10 and 20", code: "context_length_exceeded" })
      assert.deepInclude(long, { _tag: "ContextLengthExceeded", message: "10 and 20" })
      const busy = yield* refusal(503, { message: "too many", code: null })
      assert.deepInclude(busy, { _tag: "WorkerRefused", message: "too many", status: 503 })
      for (const sentence of [
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        'Failed to parse tools: Missing tool function: {"type":"function"}',
        "Conversation roles must alternate user/assistant at row 1, column 59:",
        "Error: Jinja Exception: After the optional system message, roles must alternate"
      ]) {
        const fault = yield* refusal(500, { code: 500, message: sentence, type: "server_error" })
        assert.deepInclude(fault, { _tag: "WorkerRefused", message: sentence, status: 400 })
      }
      const own = yield* refusal(500, { code: 500, message: "CUDA error: out of memory" })
      assert.deepInclude(own, { _tag: "WorkerRefused", status: 500 })
      const odd = yield* refusal(500, "<html>")
      assert.deepInclude(odd, { _tag: "WorkerRefused", message: "Worker 'w' answered with the status 500" })
    }).pipe(Effect.provide(layer))
  )

  it.live("cuts a refused token limit to what the prompt leaves of the context", () =>
    Effect.gen(function* () {
      const contextSize = 4096
      const sentences = {
        vLLM: (prompt: number, limit: number) =>
          `This model's maximum context length is ${contextSize} tokens. However, you requested ${prompt + limit} tokens (${prompt} in the messages, ${limit} in the completion).`,
        "newer vLLM": (prompt: number, limit: number) =>
          `'max_tokens' or 'max_completion_tokens' is too large: ${limit}. This model's maximum context length is ${contextSize} tokens and your request has ${prompt} input tokens (${limit} > ${contextSize} - ${prompt}).`,
        SGLang: (prompt: number, limit: number) =>
          `Requested token count exceeds the model's maximum context length of ${contextSize} tokens. You requested a total of ${prompt + limit} tokens: ${prompt} tokens from the input messages and ${limit} tokens for the completion.`,
        TGI: (prompt: number, limit: number) =>
          `\`inputs\` tokens + \`max_new_tokens\` must be <= ${contextSize}. Given: ${prompt} \`inputs\` tokens and ${limit} \`max_new_tokens\``
      }
      const client = yield* WorkerClient
      for (const [engine, sentence] of Object.entries(sentences)) {
        for (const field of ["max_tokens", "max_completion_tokens"]) {
          let prompt = 96
          const limits: Array<number> = []
          const { port } = yield* worker((request, response) => {
            let text = ""
            request.on("data", (chunk) => {
              text += chunk
            })
            request.on("end", () => {
              const limit = JSON.parse(text)[field]
              limits.push(limit)
              if (prompt + limit <= contextSize) return response.end('{"choices":[]}')
              return response
                .writeHead(400)
                .end(JSON.stringify({ object: "error", message: sentence(prompt, limit), code: 400 }))
            })
          })
          const ask = (limit: number, more: object = {}) =>
            client.ask({ id: "w", port, contextSize }, "job-1", {
              ...request,
              body: { prompt: "p", [field]: limit, ...more }
            })
          assert.strictEqual(yield* ask(32_000), '{"choices":[]}', engine)
          assert.deepStrictEqual(limits.splice(0), [32_000, 4000], engine)
          const exact = yield* Effect.flip(ask(32_000, { exact_max_tokens: true }))
          assert.strictEqual(exact._tag, "ContextLengthExceeded", engine)
          prompt = 5000
          assert.strictEqual((yield* Effect.flip(ask(10)))._tag, "ContextLengthExceeded", engine)
          assert.deepStrictEqual(limits, [32_000, 10], engine)
        }
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("distinguishes a broken connection from silence", () =>
    Effect.gen(function* () {
      const broken = yield* Effect.flip(
        complete((_, response) => {
          sse(response)
          response.write(piece("a"), () => response.destroy())
        })
      )
      assert.strictEqual(broken._tag, "WorkerGone")
      const silent = yield* Effect.flip(
        complete((_, response) => {
          sse(response)
          response.write(piece("a"))
        })
      )
      assert.strictEqual(silent.message, "Worker 'w' sent nothing for 0.2 s (timeouts.between_tokens)")
      const mute = yield* Effect.flip(complete(() => undefined))
      assert.strictEqual(mute.message, "Worker 'w' sent nothing for 0.6 s (timeouts.first_token)")
      // A comment is a sign of life of the process, and no token.
      const breathing = yield* Effect.flip(
        complete((_, response) => void sse(response).write(": working\n\n"))
      )
      assert.strictEqual(breathing.message, "Worker 'w' sent nothing for 0.6 s (timeouts.first_token)")
    }).pipe(Effect.provide(layer))
  )

  it.live(
    "repeats a request whose idle connection the worker closed, and fails when the next one closes too",
    () =>
      Effect.gen(function* () {
        let posts = 0
        const answered = yield* complete((request, response) => {
          request.resume()
          if (++posts === 1) return void request.socket.destroy()
          sse(response).end(`${piece("a", "stop")}data: [DONE]\n\n`)
        })
        assert.deepStrictEqual([answered.length, posts], [1, 2])
        const refused = yield* Effect.flip(
          complete((request) => {
            posts++
            request.socket.destroy()
          })
        )
        assert.deepStrictEqual([refused._tag, posts], ["WorkerGone", 4])
      }).pipe(Effect.provide(layer))
  )

  it.live("fails when an answer breaks off or contains an error", () =>
    Effect.gen(function* () {
      const cut = yield* Effect.flip(complete((_, response) => void sse(response).end(piece("a", "stop"))))
      assert.strictEqual(cut._tag, "WorkerGone")
      const failed = yield* Effect.flip(
        complete(
          (_, response) =>
            void sse(response).end(`${piece("a")}data: {"error":{"message":"it broke"}}\n\ndata: [DONE]\n\n`)
        )
      )
      assert.deepInclude(failed, { _tag: "WorkerRefused", message: "it broke", status: 200 })
    }).pipe(Effect.provide(layer))
  )

  it.live("reads health and models, and treats a missing answer as unhealthy", () =>
    Effect.gen(function* () {
      const client = yield* WorkerClient
      const { port } = yield* worker((request, response) => {
        response.writeHead(request.url === "/health" ? 503 : 200)
        response.end(request.url === "/v1/models" ? '{"data":[{"id":"m"}]}' : "{}")
      })
      assert.isFalse(yield* client.isReady(port))
      assert.deepStrictEqual(yield* client.models(port), ["m"])
      assert.isFalse(yield* client.isReady(1))
      assert.deepStrictEqual(yield* client.models(1), [])
      yield* client.cancel(1, "nothing")
    }).pipe(Effect.provide(layer))
  )
})
