import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { JobEvent } from "../../../src/job/log/JobEvent.ts"
import { ask } from "../../support/daemon.ts"
import { startGateway } from "../../support/gateway.ts"

/** The refusal of a worker that calls the field as OpenAI does. */
class WorkerRefused extends Schema.TaggedError<WorkerRefused>()("WorkerRefused", { param: Schema.String }) {
  override get message() {
    return `'${this.param}': Expected a value between 0 and 1`
  }
  get failure() {
    const engine = { type: "invalid_request_error", param: this.param, code: "invalid_value" }
    return { code: this._tag, message: this.message, details: { status: 400, engine } }
  }
}

const send = (path: string, text: string, refused?: string) =>
  Effect.gen(function* () {
    const { url } = yield* startGateway({
      models: ["m"],
      complete: () => () =>
        refused === undefined
          ? Stream.make(new JobEvent("chunk", JSON.stringify({ choices: [] })))
          : Stream.fail(new WorkerRefused({ param: refused }))
    })
    const answer = yield* ask(url, { method: "POST", path, body: text })
    const { error } = JSON.parse(answer.text)
    return [answer.status, typeof error === "string" ? error : error.message]
  })

const messages = [{ role: "user", content: "Hi" }]
const paths = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/chat", "/api/show", "/api/copy"]

describe("an invalid body", () => {
  it.live("is reported as invalid JSON with the position, at every endpoint", () =>
    Effect.gen(function* () {
      const pulled = yield* send("/api/pull", '{"model":"http://host/m.gguf"}')
      assert.deepStrictEqual(pulled[0], 400)
      assert.match(String(pulled[1]), /^A model is not pulled over http:\/\/.*https:\/\//)
      for (const path of paths) {
        const broken = yield* send(path, '{"model": "m", "messages": [}')
        const where = 'unexpected "}" at position 28 (line 1, column 29)'
        assert.deepStrictEqual(broken, [400, `The body is not valid JSON: ${where}`], path)
        assert.deepStrictEqual(yield* send(path, ""), [400, "The body is not valid JSON: it is empty"])
        assert.deepStrictEqual(yield* send(path, "[]"), [400, "The body must be a JSON object"])
      }
    })
  )

  it.live("is rejected with the field's name in the client's API; null equals absent", () =>
    Effect.gen(function* () {
      const anthropic = { model: "m", max_tokens: 5, messages }
      const tried = [
        ["/v1/messages", { ...anthropic, messages: undefined }, "'messages' is required"],
        ["/v1/messages", { ...anthropic, max_tokens: undefined }, "'max_tokens' is required"],
        ["/v1/messages", { ...anthropic, temperature: "x" }, "'temperature': Expected number"],
        ["/v1/messages", { ...anthropic, stop_sequences: "x" }, "'stop_sequences': Expected array"],
        ["/v1/responses", { model: "m", input: 5 }, "'input': Expected string | array"],
        ["/v1/responses", { model: "m", input: "x", tools: [{}] }, "'tools.0.type' is required"],
        ["/api/chat", { model: "m", messages: [{ content: "x" }] }, "'messages.0.role' is required"],
        ["/api/chat", { model: "m", options: { num_predict: "x" } }, "'options.num_predict': Expected number"]
      ] as const
      for (const [path, body, sentence] of tried) {
        assert.deepStrictEqual(yield* send(path, JSON.stringify(body)), [400, sentence])
      }
    })
  )
})

it.live("is rejected by a worker with the field's name in the client's API", () =>
  Effect.gen(function* () {
    const bodyOf = (path: string) => {
      const prompt = path === "/v1/responses" ? undefined : "Hi"
      return JSON.stringify({ model: "m", max_tokens: 5, messages, input: "Hi", prompt })
    }
    const tried = [
      ["/v1/chat/completions", "stop", "stop"],
      ["/v1/messages", "stop.0", "stop_sequences.0"],
      ["/v1/messages", "top_p", "top_p"],
      ["/v1/responses", "max_tokens", "max_output_tokens"],
      ["/v1/responses", "messages.0.content", "input.0.content"],
      ["/api/chat", "max_tokens", "options.num_predict"],
      ["/api/generate", "repetition_penalty", "options.repeat_penalty"],
      ["/api/chat", "top_p", "options.top_p"],
      ["/api/embeddings", "input", "prompt"]
    ] as const
    for (const [path, engines, clients] of tried) {
      const refused = yield* send(path, bodyOf(path), engines)
      assert.deepStrictEqual(refused, [400, `'${clients}': Expected a value between 0 and 1`], path)
    }
  })
)
