import { readFileSync, writeFileSync } from "node:fs"
import * as http from "node:http"
import { join } from "node:path"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type OpenAI from "openai"
import { llamaWorker, type LlamaWorker, startWorker, tiny, TinyWorker } from "../../support/llamaWorker.ts"
import { freePort } from "../../support/ports.ts"
import { temporaryFolder } from "../../support/rbee.ts"
import { until } from "../../support/until.ts"

const complete = ({ post }: LlamaWorker, body: object) =>
  Effect.map(post("/v1/completions", { prompt: "It was", ...body }), ({ json }) => json)

const untilIdle = ({ busy }: LlamaWorker) => until(busy, (busy) => busy === 0, "1 second")

layer(TinyWorker.layer, { timeout: "60 seconds", excludeTestServices: true })("a worker", (it) => {
  it.effect("serves the official OpenAI client", () =>
    Effect.gen(function* () {
      const { client } = yield* TinyWorker
      const model = "rbee:tiny"
      const streamed = yield* Effect.promise(async () => {
        const stream = await client.completions.create({
          model,
          prompt: "It was",
          max_tokens: 20,
          temperature: 0,
          stream: true
        })
        let text = ""
        for await (const chunk of stream) text += chunk.choices[0]?.text ?? ""
        return text
      })
      assert.isAbove(streamed.length, 10)

      // At a temperature the model may end its answer before the limit.
      const messages = [{ role: "user" as const, content: "Tell me a story." }]
      const chat = yield* Effect.promise(() =>
        client.chat.completions.create({ model, messages, max_tokens: 12, temperature: 0 })
      )
      assert.isAbove(chat.choices[0]?.message.content?.length ?? 0, 3)
      assert.strictEqual(chat.usage?.completion_tokens, 12)

      const pieces = yield* Effect.promise(async () => {
        const options = {
          model,
          messages,
          max_tokens: 12,
          temperature: 0,
          stream: true as const,
          stream_options: { include_usage: true }
        }
        const all: Array<OpenAI.ChatCompletionChunk> = []
        for await (const chunk of await client.chat.completions.create(options)) all.push(chunk)
        return all
      })
      assert.strictEqual(pieces[0]?.choices[0]?.delta.role, "assistant")
      assert.strictEqual(pieces.at(-1)?.usage?.completion_tokens, 12)

      const embeddings = yield* Effect.promise(() =>
        client.embeddings.create({ model, input: ["It was", "A whale"] })
      )
      assert.strictEqual(embeddings.data.length, 2)
      assert.strictEqual(embeddings.data[0]?.embedding.length, 192)

      const models = yield* Effect.promise(() => client.models.list())
      assert.strictEqual(models.data[0]?.id, model)
    })
  )

  it.effect("applies sampling parameters", () =>
    Effect.gen(function* () {
      const worker = yield* TinyWorker
      const text = (body: object) =>
        Effect.map(complete(worker, { max_tokens: 24, ...body }), ({ choices }) => choices[0].text)
      assert.strictEqual(yield* text({ seed: 7 }), yield* text({ seed: 7 }))
      assert.notStrictEqual(yield* text({ temperature: 1.5 }), yield* text({ temperature: 1.5 }))
      assert.strictEqual(yield* text({ temperature: 0 }), yield* text({ temperature: 0, seed: 9 }))
      const greedy: string = yield* text({ temperature: 0 })
      const stop = greedy.slice(8, 12)
      const stopped = yield* complete(worker, { temperature: 0, max_tokens: 24, stop: [stop] })
      assert.strictEqual(stopped.choices[0].text, greedy.slice(0, greedy.indexOf(stop)))
      assert.strictEqual(stopped.choices[0].finish_reason, "stop")
      const hot: string = yield* text({ temperature: 2, max_tokens: 300, top_k: 4096 })
      assert.notInclude(hot, "\uFFFD")
    })
  )

  it.effect("reuses an evaluated prefix, and runs concurrent requests", () =>
    Effect.gen(function* () {
      const worker = yield* TinyWorker
      const prompt =
        "It was a truth universally acknowledged that a single man in possession of a good fortune"
      yield* complete(worker, { prompt, max_tokens: 2 })
      const second = yield* complete(worker, { prompt: `${prompt} must`, max_tokens: 2 })
      assert.isAbove(second.usage.prompt_tokens_details.cached_tokens, 10)
      const all = yield* Effect.all(
        Array.from({ length: 9 }, (_, i) => complete(worker, { prompt: `Number ${i}`, max_tokens: 60 })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(all.filter(({ choices }) => choices[0].text.length > 0).length, 9)
      yield* untilIdle(worker)
    })
  )

  it.effect("stops generating on disconnect and on cancel", () =>
    Effect.gen(function* () {
      // Its context has room for an answer that does not end by itself meanwhile.
      const worker = yield* llamaWorker(tiny, ["--ctx-size", "8192"])
      const body = JSON.stringify({ prompt: "It was", max_tokens: 8000, stream: true })
      yield* Effect.callback<void>((resume) => {
        const request = http.request(
          { port: worker.port, method: "POST", path: "/v1/completions" },
          (response) => {
            response.once("data", () => {
              request.destroy()
              resume(Effect.void)
            })
          }
        )
        request.on("error", () => {})
        request.end(body)
      })
      yield* untilIdle(worker)

      const stream = yield* Effect.forkChild(
        worker.ask({
          method: "POST",
          path: "/v1/completions",
          body,
          headers: { "x-request-id": "mine" }
        })
      )
      yield* until(worker.busy, (busy) => busy === 1)
      const cancelled = yield* worker.ask({ method: "DELETE", path: "/v1/requests/mine" })
      assert.strictEqual(cancelled.status, 200)
      assert.strictEqual(yield* worker.busy, 0)
      assert.include((yield* Fiber.join(stream)).text, `"finish_reason":"cancelled"`)
      assert.strictEqual((yield* worker.ask({ method: "DELETE", path: "/v1/requests/mine" })).status, 404)
    })
  )

  it.effect("rejects invalid input with an error in OpenAI's format", () =>
    Effect.gen(function* () {
      const worker = yield* TinyWorker
      const wrong: ReadonlyArray<readonly [unknown, number, string]> = [
        ["{", 400, "invalid_json"],
        ["[]", 400, "invalid_json"],
        [{ prompt: 5 }, 400, `"param":"prompt"`],
        [{ prompt: "x", max_tokens: 1.5 }, 400, `"param":"max_tokens"`],
        [{ prompt: "x", temperature: "hot" }, 400, `"param":"temperature"`],
        [{ prompt: "a\u0000b" }, 400, `"param":"prompt"`],
        [{ prompt: "x", n: 9 }, 400, `"param":"n"`],
        [{ prompt: "x", logprobs: 6 }, 400, `"param":"logprobs"`],
        [{ prompt: "x", echo: true }, 400, "unsupported_parameter"],
        [{ prompt: "x", model: "gpt-4" }, 404, "model_not_found"],
        [{ prompt: "x".repeat(17_000_000) }, 413, "body_too_large"]
      ]
      for (const [body, status, part] of wrong) {
        const text = typeof body === "string" ? body : JSON.stringify(body)
        const answer = yield* worker.ask({ method: "POST", path: "/v1/completions", body: text })
        assert.strictEqual(answer.status, status, part)
        assert.include(answer.text, part)
      }
      for (const headers of [{ origin: "http://evil" }, { host: "evil.example" }]) {
        assert.strictEqual((yield* worker.ask({ path: "/v1/models", headers })).status, 403)
      }
      assert.strictEqual((yield* worker.ask({ path: "/nothing" })).status, 404)
      assert.strictEqual(yield* worker.busy, 0)
    })
  )
})

describe("a worker's process", () => {
  it.live("exits on SIGTERM, and reports an occupied port", () =>
    Effect.gen(function* () {
      const { child, ended, port } = yield* llamaWorker()
      const second = yield* startWorker(["--model", tiny, "--model-id", "x", "--port", String(port)])
      const refused = yield* second.ended
      assert.strictEqual(refused.code, 98)
      assert.include(refused.written, `Port ${port} on 127.0.0.1 is in use`)
      child.kill("SIGTERM")
      yield* Effect.timeout(ended, "3 seconds")
    })
  )

  it.live("reports why it cannot serve", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const broken = join(folder, "broken.gguf")
      writeFileSync(broken, readFileSync(tiny).subarray(0, 1000))
      const port = String(yield* freePort)
      const model = yield* (yield* startWorker(["--model", broken, "--model-id", "x", "--port", port])).ended
      assert.strictEqual(model.code, 1)
      assert.include(model.written, "Failed to load the model")
      const flags = yield* (yield* startWorker(["--model", tiny])).ended
      assert.strictEqual(flags.code, 1)
      assert.include(flags.written, "usage:")
      const gpu = yield* (yield* startWorker([
        "--model",
        tiny,
        "--model-id",
        "x",
        "--port",
        port,
        "--device",
        "gpu-0"
      ])).ended
      assert.strictEqual(gpu.code, 1)
    })
  )
})
