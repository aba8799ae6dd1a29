import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { EmbeddingModel, LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { vi } from "vitest"
import * as RbeeEmbeddingModel from "../../../src/ai/RbeeEmbeddingModel.ts"
import * as RbeeLanguageModel from "../../../src/ai/RbeeLanguageModel.ts"
import { Endpoints } from "../../support/endpoints.ts"

// The first request of each model starts a worker.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const Echo = Tool.make("echo", {
  parameters: Schema.Struct({ text: Schema.String }),
  success: Schema.Struct({ echoed: Schema.String })
})
const Tools = Toolkit.make(Echo)
const ToolsLive = Tools.toLayer({ echo: ({ text }) => Effect.succeed({ echoed: text.toUpperCase() }) })

const ofQueen = (model: string, parameters: Readonly<Record<string, unknown>> = {}) =>
  Layer.unwrap(
    Endpoints.use(({ queen: url }) => Effect.succeed(RbeeLanguageModel.layer({ url, model, parameters })))
  ).pipe(Layer.provide(NodeHttpClient.layerUndici))

const embeddings = Layer.unwrap(
  Endpoints.use(({ queen: url }) => Effect.succeed(RbeeEmbeddingModel.layer({ url, model: "rbee:tiny" })))
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const tiny = ofQueen("rbee:tiny", { temperature: 0, max_tokens: 64, seed: 1 })

layer(Endpoints.layer, { timeout: "2 minutes", excludeTestServices: true })(
  "effect/ai over a queen",
  (it) => {
    describe("text", () => {
      it.effect("streams the text of a complete answer", () =>
        Effect.gen(function* () {
          const prompt = "It was a truth"
          const complete = yield* LanguageModel.generateText({ prompt })
          const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt }))
          const deltas = parts.flatMap((part) => (part.type === "text-delta" ? [part.delta] : []))
          assert.strictEqual(deltas.join(""), complete.text)
          assert.isAbove(deltas.length, 1)
          assert.isAbove(complete.usage.outputTokens.total ?? 0, 0)
        }).pipe(Effect.provide(tiny))
      )

      it.effect("gives structured output that conforms to its schema", () =>
        Effect.gen(function* () {
          const schema = Schema.Struct({ colour: Schema.Literals(["red", "green"]), ripe: Schema.Boolean })
          const { value } = yield* LanguageModel.generateObject({ prompt: "A tomato", schema })
          assert.isTrue(Schema.is(schema)(value))
        }).pipe(Effect.provide(tiny))
      )

      it.effect("fails with the queen's message for a model that no hive has", () =>
        Effect.gen(function* () {
          const { reason } = yield* Effect.flip(LanguageModel.generateText({ prompt: "hi" }))
          assert.strictEqual(reason._tag, "InvalidRequestError")
          assert.include(reason.message, "missing-model")
        }).pipe(Effect.provide(ofQueen("missing-model")))
      )
    })

    it.effect("runs a loop of tool calls", () =>
      Effect.gen(function* () {
        const first = yield* LanguageModel.generateText({ prompt: "shout", toolkit: Tools })
        assert.deepStrictEqual(
          first.toolResults.map(({ result }) => result),
          [{ echoed: "SHOUT" }]
        )
        const prompt = Prompt.concat(Prompt.make("shout"), Prompt.fromResponseParts(first.content))
        const { text } = yield* LanguageModel.generateText({ prompt, toolkit: Tools })
        assert.strictEqual(text, `The tool said {"echoed":"SHOUT"}`)
      }).pipe(Effect.provide([ToolsLive, ofQueen("tooly")]))
    )

    it.effect("embeds texts as vectors of unit length", () =>
      Effect.gen(function* () {
        const { embed } = yield* EmbeddingModel.EmbeddingModel
        const { vector } = yield* embed("It was a truth")
        assert.closeTo(Math.hypot(...vector), 1, 1e-3)
      }).pipe(Effect.provide(embeddings))
    )
  }
)
