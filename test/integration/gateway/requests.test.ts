import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { post } from "../../support/applications.ts"
import { startFleet } from "../../support/fleet.ts"

// Workers are started here, which takes its time on a machine that does more.
vi.setConfig({ testTimeout: 120_000 })

const model = "rbee:tiny"
const inputs = Array.from({ length: 321 }, (_, index) => `a${index}`)

interface Item {
  readonly index: number
  readonly embedding: ReadonlyArray<number>
}

const floatsIn = (text: string) => {
  const bytes = Buffer.from(text, "base64")
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4))
}

describe("embeddings of long lists", () => {
  it.live("are returned in one document, in order and in the requested encoding", () =>
    Effect.gen(function* () {
      const fleet = yield* startFleet({ hives: ["atlas"] })
      for (const url of [fleet.queenUrl, fleet.hive("atlas").url]) {
        const ask = (path: string, body: object) =>
          Effect.map(post(url, path, { model, ...body }), ({ status, text }) => {
            assert.strictEqual(status, 200, text.slice(0, 300))
            return JSON.parse(text)
          })
        const whole = yield* ask("/v1/embeddings", { input: inputs })
        assert.deepStrictEqual(
          whole.data.map(({ index }: Item) => index),
          inputs.map((_, index) => index)
        )
        const [first] = (yield* ask("/v1/embeddings", { input: [inputs[320]] })).data
        const last: Item = whole.data[320]
        assert.strictEqual(last.embedding.length, 192)
        for (const [index, value] of last.embedding.entries()) {
          assert.closeTo(value, first.embedding[index], 1e-6)
        }
        assert.isAbove(whole.usage.prompt_tokens, 640)
        const packed = yield* ask("/v1/embeddings", { input: inputs.slice(0, 65), encoding_format: "base64" })
        assert.deepStrictEqual(floatsIn(packed.data[64].embedding), whole.data[64].embedding)
        const ollama = yield* ask("/api/embed", { input: inputs.slice(0, 300) })
        assert.deepStrictEqual(
          ollama.embeddings,
          whole.data.slice(0, 300).map(({ embedding }: Item) => embedding)
        )
        const cut = yield* ask("/api/embed", { input: "word ".repeat(900), dimensions: 16 })
        assert.strictEqual(cut.embeddings[0].length, 16)
        const refused = yield* post(url, "/api/embed", {
          model,
          input: "word ".repeat(900),
          truncate: false
        })
        assert.strictEqual(refused.status, 400)
        const wrong = yield* post(url, "/v1/embeddings", { model, input: [...inputs, [99_999]] })
        assert.strictEqual(wrong.status, 400)
        assert.include(wrong.text, "send text")
      }
    })
  )
})

describe("the role developer", () => {
  it.live("is treated as system at every endpoint", () =>
    Effect.gen(function* () {
      const template =
        "{% for m in messages %}{% if m['role'] == 'system' %}S:{{ m['content'] }}{% elif m['role'] == 'user' %}U:{{ m['content'] }}{% endif %}{% endfor %}"
      const variants = { roles: { "tokenizer.chat_template": template } }
      const { queenUrl } = yield* startFleet({ hives: ["atlas"], variants })
      const turns = (role: string) => [
        { role, content: "answer only in Latin verse" },
        { role: "user", content: "hi" }
      ]
      const count = (path: string, body: object) =>
        Effect.map(post(queenUrl, path, { model: "roles", ...body }), ({ status, text }) => {
          assert.strictEqual(status, 200, text)
          return Number(/"(?:prompt_tokens|input_tokens|prompt_eval_count)":(\d+)/.exec(text)?.[1])
        })
      const counts = yield* Effect.all([
        count("/v1/chat/completions", { max_tokens: 1, messages: turns("system") }),
        count("/v1/chat/completions", { max_tokens: 1, messages: turns("developer") }),
        count("/v1/responses", { max_output_tokens: 1, input: turns("developer") }),
        count("/api/chat", { stream: false, options: { num_predict: 1 }, messages: turns("developer") })
      ])
      assert.isAbove(counts[0], 10)
      assert.strictEqual(new Set(counts).size, 1)
    })
  )
})
