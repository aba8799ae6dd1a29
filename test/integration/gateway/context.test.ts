import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { post } from "../../support/applications.ts"
import { ask } from "../../support/daemon.ts"
import { startFleet } from "../../support/fleet.ts"

// Workers are started here, which takes its time on a machine that does more.
vi.setConfig({ testTimeout: 240_000 })

const variant = { "llama.context_length": 4096 }
const names = ["one", "two", "three", "four"]

const contextAt = (url: string, name: string) =>
  Effect.all([
    Effect.map(ask(url, { path: `/v1/models/${name}` }), ({ text }) =>
      Number(JSON.parse(text).context_length)
    ),
    Effect.map(post(url, "/api/show", { model: name }), ({ text }) =>
      Number(JSON.parse(text).model_info["llama.context_length"])
    )
  ])

const chat = (url: string, model: string, content: string) =>
  post(url, "/v1/chat/completions", {
    model,
    max_tokens: 4000,
    stop: ["e"],
    messages: [{ role: "user", content }]
  })

describe("the context of a request", () => {
  for (const daemon of ["queen", "hive"] as const) {
    it.live(`is as long as the prompt or the client requires, at a ${daemon}`, () =>
      Effect.gen(function* () {
        const fleet = yield* startFleet({
          hives: ["atlas"],
          hive: { engine: { contextSize: 512 } },
          variants: Object.fromEntries(names.map((name) => [name, variant]))
        })
        const hive = fleet.hive("atlas")
        const url = daemon === "queen" ? fleet.queenUrl : hive.url
        const sizes = (name: string) =>
          Effect.map(hive.inventory, ({ workers }) =>
            workers
              .filter(({ model_id }) => model_id === name)
              .map(({ context_size }) => context_size)
              .sort((left, right) => left - right)
          )
        assert.deepStrictEqual(yield* contextAt(url, "one"), [512, 512])
        assert.strictEqual((yield* chat(url, "one", "hi")).status, 200)
        assert.deepStrictEqual(yield* sizes("one"), [512])
        // Its length shows that it does not fit.
        const long = yield* chat(url, "one", "word ".repeat(1300))
        assert.strictEqual(long.status, 200, long.text)
        assert.deepStrictEqual(yield* sizes("one"), [512, 2048])
        assert.strictEqual((yield* chat(url, "one", "word ".repeat(1400))).status, 200)
        assert.strictEqual((yield* sizes("one")).length, 2)
        // Only the engine, which counts, sees that this does not fit.
        assert.strictEqual((yield* chat(url, "two", "hi")).status, 200)
        assert.deepStrictEqual(yield* sizes("two"), [512])
        const dense = yield* chat(url, "two", "~!".repeat(600))
        assert.strictEqual(dense.status, 200, dense.text)
        assert.isAbove(JSON.parse(dense.text).usage.prompt_tokens, 512)
        assert.isAbove((yield* sizes("two")).at(-1) ?? 0, 1024)
        const options = { num_ctx: 1500, num_predict: 1 }
        const asked = yield* post(url, "/api/generate", {
          model: "three",
          prompt: "hi",
          stream: false,
          options
        })
        assert.strictEqual(asked.status, 200, asked.text)
        assert.deepStrictEqual(yield* sizes("three"), [2048])
        // Counting needs no room: the engine's refusal has the number.
        const counted = (text: string) =>
          Effect.map(
            post(url, "/v1/messages/count_tokens", {
              model: "four",
              messages: [{ role: "user", content: text }]
            }),
            ({ status, text }) => [status, JSON.parse(text).input_tokens]
          )
        const [fits, few] = yield* counted("word ".repeat(200))
        const [, more] = yield* counted("word ".repeat(400))
        const [beyond, many] = yield* counted("word ".repeat(4200))
        assert.deepStrictEqual([fits, beyond], [200, 200])
        assert.isAbove(many, 4096)
        assert.strictEqual(many - few, (more - few) * 20)
        assert.deepStrictEqual(yield* sizes("four"), [512])
        const never = yield* chat(url, "one", "word ".repeat(5000))
        assert.strictEqual(never.status, 400, never.text)
        assert.include(never.text, "context_length_exceeded")
      })
    )

    it.live(`is shorter if memory is scarce, at a ${daemon}`, () =>
      Effect.gen(function* () {
        const fleet = yield* startFleet({
          hives: ["atlas"],
          variants: { one: variant },
          memoryBytes: 147_000_000
        })
        const hive = fleet.hive("atlas")
        const url = daemon === "queen" ? fleet.queenUrl : hive.url
        const { models } = yield* hive.inventory
        const one = models.find(({ id }) => id === "one")
        assert.strictEqual(one?.worker_context, 4096)
        assert.isAbove(one?.memory_bytes ?? 0, 147_000_000)
        assert.deepStrictEqual(yield* contextAt(url, "one"), [2048, 2048])
        assert.strictEqual((yield* chat(url, "one", "hi")).status, 200)
        const { workers } = yield* hive.inventory
        assert.deepStrictEqual(
          workers.map(({ context_size }) => context_size),
          [2048]
        )
        assert.deepStrictEqual(yield* contextAt(url, "one"), [2048, 2048])
      })
    )
  }
})
