import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { post } from "../../support/applications.ts"
import { Client, narrationOf, withHive } from "../../support/hive.ts"
import { modelHubs, ollamaLayer } from "../../support/modelHubs.ts"

const file = readFileSync(new URL("../../../src/worker/tiny/rbee-tiny-novelist-q8_0.gguf", import.meta.url))
const content = { size: file.length, slice: (from: number, to: number) => file.subarray(from, to) }

describe("a model of Ollama's registry", () => {
  it.live(
    "has its parameters and system prompt at the endpoints, and passes them on to models created from it",
    () =>
      Effect.gen(function* () {
        const params = { num_predict: 3, stop: ["END"], temperature: 0 }
        const others = [
          ollamaLayer("params", JSON.stringify(params)),
          ollamaLayer("system", "You are Mario."),
          ollamaLayer("template", "{{ .Prompt }}")
        ]
        const hubs = yield* modelHubs({
          ollama: { "library/mario:latest": { content, others }, "library/plain:latest": { content } }
        })
        const test = Effect.gen(function* () {
          const client = yield* Client
          const { url } = client.peer
          const download = (model: string) =>
            client.events({ operation: "model_download", hive_id: "test", model })
          assert.include(narrationOf(yield* download("ollama:mario")), "The model's Go template is ignored")
          yield* download("ollama:plain")
          const show = (model: string) =>
            Effect.map(post(url, "/api/show", { model }), ({ text }) => JSON.parse(text))
          const shown = yield* show("mario")
          assert.deepInclude(shown, {
            system: "You are Mario.",
            parameters: 'num_predict 3\nstop "END"\ntemperature 0'
          })
          assert.strictEqual(shown.details.parent_model, "")
          assert.notProperty(yield* show("plain"), "system")

          const usageOf = (model: string, more: object = {}) =>
            Effect.map(
              post(url, "/v1/chat/completions", {
                model,
                messages: [{ role: "user", content: "Hi" }],
                ...more
              }),
              ({ text }) => JSON.parse(text).usage
            )
          const plain = yield* usageOf("plain", { max_tokens: 1 })
          const own = yield* usageOf("mario")
          assert.isAbove(own.prompt_tokens, plain.prompt_tokens + 4)
          assert.strictEqual(own.completion_tokens, 3)
          assert.strictEqual((yield* usageOf("mario", { max_tokens: 5 })).completion_tokens, 5)

          const made = { model: "luigi", from: "mario", parameters: { num_predict: 4 }, stream: false }
          assert.strictEqual((yield* post(url, "/api/create", made)).status, 200)
          const luigi = yield* show("luigi")
          assert.deepInclude(luigi, {
            system: "You are Mario.",
            parameters: 'num_predict 4\nstop "END"\ntemperature 0'
          })
          assert.strictEqual(luigi.details.parent_model, "ollama:mario")
          assert.strictEqual((yield* usageOf("luigi")).completion_tokens, 4)
        })
        yield* withHive(test, { settings: { models: hubs.settings } })
      }),
    60_000
  )
})
